"""Targets for files that users bring: a file each, with what reads them and what inputs are made of."""
