"""Tolerances measured: correct kernels pass, faulty kernels fail."""
