"""Adapters for array libraries: one module a library."""
