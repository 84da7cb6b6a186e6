"""One choice of each kind for bakeoff, a module per kind. Only `in_torch` imports torch."""
