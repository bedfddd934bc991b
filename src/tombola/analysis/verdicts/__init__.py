"""What is decided of a study: its hypotheses, published numbers, the sparsest matching level, and how it is said."""
