"""How the page is put on trial: a browser to open it in, and a tree to look things up in."""
