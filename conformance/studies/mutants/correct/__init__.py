"""Correct kernels in different styles, to detect false alarms."""
