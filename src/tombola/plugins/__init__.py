"""Code of one's own: where it is, whose it is, and loading it."""
