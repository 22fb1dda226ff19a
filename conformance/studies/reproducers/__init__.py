"""Whether every reproducer of a run shows its failure."""
