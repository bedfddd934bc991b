"""What a count would be by chance: exact distributions of counts, summed over layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REACH = 12.0
"""How far from its mean a count is followed: REACH standard deviations and REACH^2 more. Beyond lies less
than 2 exp(-REACH^2 / 2) = 1e-31 of its chance, by Bernstein's bound, which draws without replacement obey
too (Hoeffding 1963, section 6)."""

SMALLEST = 1e-30
"""The smallest chance that is told: tails smaller than this lie beyond `REACH`."""


@dataclass(frozen=True)
class Chance:
    """The distribution of a whole number: `chances[k]` is the chance of `first + k`."""

    first: int
    chances: Floats

    @property
    def support(self) -> Floats:
        """The numbers that can come, ascending."""
        return self.first + np.arange(len(self.chances), dtype=np.float64)

    def mean(self, of: Callable[[Floats], Floats]) -> float:
        """The expectation of a function of the number (not the function of its expectation)."""
        return float(self.chances @ of(self.support))

    def deviation(self, of: Callable[[Floats], Floats]) -> float:
        """The standard deviation of a function of the number."""
        values = of(self.support)
        return float(np.sqrt(self.chances @ (values - self.chances @ values) ** 2))

    def at_least(self, number: float) -> float:
        """The chance of this number or a larger one."""
        tail = self.chances[max(int(number) - self.first, 0) :]
        return float(np.clip(tail.sum(), SMALLEST, 1.0))

    def plus(self, other: Chance) -> Chance:
        """The distribution of the sum with an independent number."""
        return Chance(self.first + other.first, np.convolve(self.chances, other.chances))


@lru_cache(maxsize=4096)
def shared(size: int, a: int, b: int) -> Chance:
    """How many of `size` places two sets of `a` and `b` places share when one is placed at random.

    The hypergeometric distribution, within `REACH` of its mean.
    """
    mean = a * b / size if size else 0.0
    variance = mean * (size - a) * (size - b) / (size * max(size - 1, 1)) if size else 0.0
    first, steps = _near(mean, variance, max(0, a + b - size), min(a, b))
    return _climbed(first, (a - steps) * (b - steps) / ((steps + 1) * (size - a - b + steps + 1)))


@lru_cache(maxsize=4096)
def heads(tosses: int) -> Chance:
    """How many heads a fair coin shows."""
    first, steps = _near(tosses / 2, tosses / 4, 0, tosses)
    return _climbed(first, (tosses - steps) / (steps + 1))


def total(parts: Sequence[Chance]) -> Chance:
    """The distribution of the sum of independent numbers."""
    whole = Chance(0, np.ones(1))
    for part in parts:
        whole = whole.plus(part)
    return whole


def _near(mean: float, variance: float, low: int, high: int) -> tuple[int, Floats]:
    """The first whole number of those from `low` to `high` near the mean, and all of them but the last."""
    reach = REACH * np.sqrt(variance) + REACH**2
    first, last = max(low, int(mean - reach)), min(high, int(mean + reach) + 1)
    return first, np.arange(first, last, dtype=np.float64)


def _climbed(first: int, ratios: Floats) -> Chance:
    """The distribution from the ratios of each chance to the one before: sums of logs neither overflow nor
    lose digits, as factorials of large numbers would."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    chances = np.exp(logs - logs.max())
    return Chance(first, chances / chances.sum())
