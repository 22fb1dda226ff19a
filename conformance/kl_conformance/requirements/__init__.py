"""The requirements, their applicability and their catalogue."""
