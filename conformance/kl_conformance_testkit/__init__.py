"""Test helpers of the conformance package."""
