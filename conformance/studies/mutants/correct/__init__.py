"""Right kernels in different styles: a false alarm is the worst the suite can raise."""
