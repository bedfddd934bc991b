"""Engines: ways to compute the gradients and logits of a stack. All give the same numbers, to rounding."""
