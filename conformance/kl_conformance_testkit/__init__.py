"""How the command line and the judge are put on trial: processes to start, sketches to ask."""
