"""Which training examples are kept for validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from tombola.errors import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """Two disjoint sets of indices, int64 and ascending, that make up the training set together."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def split(n: int, validation: int | float, rng: np.random.Generator) -> Split:
    """Draws the validation part of n examples without replacement.

    validation: a count, or a fraction 0 < f < 1 of n, rounded half up. rng: a replicate's `split` stream.
    Raises UserError unless the count is at least 1 and leaves at least 1 example to train on.
    """
    count = validation_count(n, validation)
    chosen = np.zeros(n, dtype=bool)
    chosen[rng.permutation(n)[:count]] = True
    return Split(np.flatnonzero(~chosen).astype(np.int64), np.flatnonzero(chosen).astype(np.int64))


def validation_count(n: int, validation: int | float) -> int:
    """How many of n examples validate; raises as `split` does."""
    if isinstance(validation, Integral) and not isinstance(validation, bool):
        count = int(validation)
    elif isinstance(validation, Real) and 0 < validation < 1:
        # The decimal that was written, not its binary neighbour: 0.145 of 100 is 14.5, which rounds to 15.
        count = math.floor(Fraction(repr(float(validation))) * n + Fraction(1, 2))
    else:
        raise UserError(f"validation is {validation!r}; expected a count or a fraction between 0 and 1")
    if not 1 <= count < n:
        raise UserError(
            f"validation is {validation}, which takes {count} of {n} training examples; expected 1 to {n - 1}"
        )
    return count
