"""One file a package: which implementations it has, and what they say they compute."""
