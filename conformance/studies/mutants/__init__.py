"""Mutation study: wrong kernels as people or language models write them, correct kernels, and what detects which."""
