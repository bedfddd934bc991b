"""Comparison of tickets: nulls, pairs, decisions, and masks made elsewhere."""
