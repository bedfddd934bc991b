"""The paper, the proposal and the slides of a run."""
