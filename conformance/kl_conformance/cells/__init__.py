"""Evaluates one cell: requirement x column."""
