"""Machine and gates chosen for each other."""
