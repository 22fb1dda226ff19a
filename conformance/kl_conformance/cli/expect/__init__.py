"""`expect`: known deviations."""
