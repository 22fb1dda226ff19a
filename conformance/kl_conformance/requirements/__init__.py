"""What must hold, one chapter a file; the names of chapters run through suite and corpora too."""
