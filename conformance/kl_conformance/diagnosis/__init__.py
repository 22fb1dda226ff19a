"""Explains a failure: alternatives, causes, the reproducer script and its confirmation."""
