"""Evidence: kept, merged, shown."""
