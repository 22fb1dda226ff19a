"""Plans a run and executes it in worker processes."""
