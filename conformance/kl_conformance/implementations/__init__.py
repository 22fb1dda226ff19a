"""Implementations under test: their declarations, lookup and loading."""
