"""What the answer is, and how far one may lie from it."""
