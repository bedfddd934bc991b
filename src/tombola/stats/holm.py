"""Holm's correction for many tests, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judged:
    """A test among those of its family: its corrected p, and the smallest that this could be, if all tests of the
    family had their smallest p; whether that would do; whether it is rejected."""

    p: float
    smallest: float
    resolvable: bool
    rejected: bool


def judge(p: Sequence[float | None], smallest: Sequence[float], alpha: float) -> list[Judged]:
    """The tests of a family at one level; `smallest` are the smallest p that each can give.

    A test without a p stays in the family, where it counts as 1, and is not resolvable.
    """
    corrected, best = holm([1.0 if one is None else one for one in p]), holm(smallest)
    return [
        Judged(mine, least, one is not None and least <= alpha, one is not None and mine <= alpha)
        for one, mine, least in zip(p, corrected, best, strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """p-values that can each be held against one level for all of them together (Holm 1979).

    The smallest of n is multiplied by n, the next by n - 1, ..., and none falls below one before it.
    """
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p)[order] * factors), 1.0)
    return [float(value) for value in corrected]
