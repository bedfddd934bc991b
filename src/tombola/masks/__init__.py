"""Masks, and pruning: criterion, allocation and structure, three choices that do not depend on each other."""
