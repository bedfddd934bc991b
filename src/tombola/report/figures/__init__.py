"""Figures: one function each, found by itself."""
