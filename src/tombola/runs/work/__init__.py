"""The work of a run: what is settled before it, its units, and who trains them, on this machine or others."""
