"""Test helpers of the reports package."""
