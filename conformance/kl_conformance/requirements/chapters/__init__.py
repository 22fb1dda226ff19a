"""Requirements, one chapter a module; chapters do not import one another."""
