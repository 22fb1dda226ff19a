"""The reference is looked at from outside, with 70 digits and no code of its own."""
