"""Run files, the store of runs, comparisons and reports; no mathematics and no framework."""
