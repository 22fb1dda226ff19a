"""Known deviations of libraries and how they are matched."""
