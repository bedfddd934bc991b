"""Targets for files of a run folder: a file each."""
