"""Readers of files, tried with millions of inputs that a machine makes up: `python -m fuzz SECONDS [TARGET ...]`."""
