"""Who is asked, what must hold, who judges."""
