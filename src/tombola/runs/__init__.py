"""Runs: cells and folders on disk, the runner, what it reuses, and how far it is."""
