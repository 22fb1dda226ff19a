"""Evaluates the divergence and its derivatives with error bounds, block by block."""
