"""Measures: what is said of one ticket or of two, each in a file with those like it."""
