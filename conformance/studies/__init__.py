"""Studies: measurements of the suite itself, repeated by one command."""
