"""Who is asked, what must hold, who judges."""

__version__ = "0.1.0"
