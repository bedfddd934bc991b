"""What a run's sources, and its other arms, have in common with its tickets."""
