"""Criteria: what a weight scores. The lowest scores are pruned.

A new criterion is a function of `Weights` that returns a score for every weight, registered under its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tombola.registry import Registry


@dataclass(frozen=True)
class Weights:
    """What a criterion may look at: one weight tensor, to be left as it is, and a stream of its own."""

    initial: Tensor
    """The weights the training started from."""
    final: Tensor
    """The weights it ended with, same shape."""
    rng: np.random.Generator


Criterion = Callable[[Weights], Tensor]

CRITERIA: Registry[Criterion] = Registry("criterion")


@CRITERIA.register("large-final")
def large_final(weights: Weights) -> Tensor:
    """Magnitude after training: weights that end near zero go first (F19, section 2)."""
    return weights.final.abs()
