"""How pages and stores are put on trial: runs to show, a browser to open pages in, a server to keep runs in."""
