"""Data sets: found, read, checked, split, and held on the device they are used on."""
