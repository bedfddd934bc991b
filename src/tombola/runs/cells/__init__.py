"""Cells on disk: what one of them is, the folder of them, how it is written, and the index that opens many at once."""
