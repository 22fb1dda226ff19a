"""Interprets a run; produces no output format."""
