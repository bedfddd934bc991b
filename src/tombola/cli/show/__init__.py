"""Printing what commands found: tables on a terminal."""
