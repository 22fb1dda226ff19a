"""The kill matrix: wrong kernels a person or a language model would write, right ones, and what stops which."""
