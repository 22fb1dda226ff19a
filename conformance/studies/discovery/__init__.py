"""How many examples the search needs for each class of bug."""
