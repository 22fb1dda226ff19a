"""Compares an answer with its proven bound; knows no library."""
