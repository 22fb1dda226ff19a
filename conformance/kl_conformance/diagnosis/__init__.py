"""Explains a failure: alternatives, causes, reproducer script."""
