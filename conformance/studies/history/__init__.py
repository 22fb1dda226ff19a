"""Changes of KL over released library versions."""
