"""Random 0/1 matrices with given row and column sums: random wiring that keeps the degree of every unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]

ROUNDS = 20
"""Trades of every row. Each halves what two rows still have of their own, so little of the order is left: tests
hold the overlap with the matrix it began from against a chain ten times as long."""


def rewired(matrix: Bits, rng: np.random.Generator, rounds: int = ROUNDS) -> Bits:
    """A matrix [rows, columns] drawn at random among those with the row and column sums of this one.

    Rows trade in pairs: what only one of the two has is dealt to both anew, each keeping its count (curveball
    trades: Strona et al. 2014, section Methods; uniform in the limit: Carstens 2015). A round pairs all rows
    at random.
    """
    new = matrix.copy()
    for _ in range(rounds):
        order = rng.permutation(len(new))
        for one, other in zip(order[0::2], order[1::2], strict=False):
            traded = np.flatnonzero(new[one] != new[other])
            dealt = new[one, traded][rng.permutation(len(traded))]
            new[one, traded], new[other, traded] = dealt, ~dealt
    return new
