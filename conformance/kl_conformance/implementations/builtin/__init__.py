"""Built-in implementations: one module a package."""
