"""Test data: distributions, memory layouts, recipes and the corpus."""
