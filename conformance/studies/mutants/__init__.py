"""Mutation study: defective kernels, correct kernels, and the requirements that detect the defective ones."""
