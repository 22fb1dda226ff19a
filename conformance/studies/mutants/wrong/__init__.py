"""Wrong kernels, each proven wrong by a witness of its own."""
