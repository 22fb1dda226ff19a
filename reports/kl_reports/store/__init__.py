"""The store: an index of run files in SQLite or PostgreSQL."""
