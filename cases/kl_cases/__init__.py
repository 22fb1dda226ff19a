"""Questions: distributions, layouts, strategies and the corpus."""
