"""The page: one HTML file of a run, of several, or live."""
