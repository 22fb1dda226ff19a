"""Numbers with proven error bounds: double-double arithmetic, balls and extended real numbers."""
