"""What runs say: contrasts, comparisons, connections, decisions on hypotheses, and how they are worded."""
