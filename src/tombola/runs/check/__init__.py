"""Whether all that a run stored is as it was stored, and mending what is not."""
