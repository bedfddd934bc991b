"""Trackers that people already use, told of a run as its cells land. Extras: each is imported when asked for."""
