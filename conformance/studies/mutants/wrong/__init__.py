"""Mutants by kind of fault, each with a proof that it is wrong."""
