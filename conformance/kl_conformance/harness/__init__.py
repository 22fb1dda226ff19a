"""Calls an implementation on a problem and reads its answer back."""
