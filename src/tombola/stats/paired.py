"""Tests of paired differences over replicates, the smallest p they can give, and the replicates they would need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tombola.stats.intervals import half_width
from tombola.stats.permutation import (
    Contrasted,
    Direction,
    Grouping,
    HasInterval,
    by_t,
    contrasted,
    opposites,
    smallest_p,
)

Test = Literal["sign-flip", "t"]

POWER = 0.8
"""The power that the needed number of replicates is worked out for."""
MOST = 10_000
"""More replicates than this are not worth naming."""
MOST_FLIPS = 64
"""Up to so many replicates the smallest p of a sign-flip is tried; from 15 on, where ways are drawn, it stays."""


def paired(
    a: Sequence[float],
    b: Sequence[float],
    test: Test,
    direction: Direction,
    margin: float,
    rng: np.random.Generator,
) -> Contrasted:
    """Test a - b over replicates, one value of each a replicate, draws averaged before.

    The estimate is the mean difference with its 95% t-interval, `effect` the mean difference in standard deviations
    of the differences (Cohen's d_z). `sign-flip` goes through all ways of turning the signs of the differences, or
    through 2^14 drawn ways (see `stats.permutation`); `t` is the paired t-test. One replicate has no p by `t`, nor have
    differences that do not vary. Fewer than three have no interval (see `stats.intervals`).
    """
    items = _items(len(a))
    scores: NDArray[np.float64] = np.column_stack([a, b]).astype(np.float64).ravel()
    found = contrasted(scores, items, rng, direction, margin)
    if test == "sign-flip":
        return found
    return replace(found, p=_p_of_t(found, np.subtract(a, b), direction, margin))


def against_claim(
    a: Sequence[float],
    b: Sequence[float],
    test: Test,
    direction: Direction,
    margin: float,
    ways: Callable[[], np.random.Generator],
) -> float | None:
    """The p of the opposite of a claim (`permutation.opposites`), by the same test of the same values; None where it
    has none. `ways` gives the generator that `paired` was given, from its beginning."""
    each = opposites(direction, margin)
    return together([paired(a, b, test, other, bound, ways()).p for other, bound in each])


def together(p: Sequence[float | None]) -> float | None:
    """The p of either of the sides of an opposite: the smaller one, times how many there are (Bonferroni); None
    where there is none."""
    known = [one for one in p if one is not None]
    return min(1.0, len(p) * min(known)) if known else None


def smallest(test: Test, n: int, direction: Direction) -> float:
    """The smallest p that n replicates can give."""
    if test == "t":
        return 0.0 if n > 1 else 1.0
    return smallest_p(n, direction)


def flips_needed(alpha: float, direction: Direction) -> int | None:
    """The smallest number of replicates whose smallest p is at most alpha; None where none is, since only so many
    ways of turning signs are drawn."""
    enough = (n for n in range(2, MOST_FLIPS) if smallest_p(n, direction) <= alpha)
    return next(enough, None)


def replicates_for_power(effect: float, alpha: float, direction: Direction) -> int | None:
    """The smallest number of replicates with which the paired t-test has a power of 0.8 at an effect.

    `effect` is the mean difference beyond the margin, in the claimed direction, in standard deviations of the
    differences; for `different` its size. None where it is not positive, where more than 10,000 would be needed,
    and for `same`, which has no such formula.
    """
    if direction == "same" or effect <= 0:
        return None
    most, least = MOST, 1  # power rises with n: halve the range until one number is left
    if power_of_t(most, effect, alpha, direction) < POWER:
        return None
    while most - least > 1:
        middle = (most + least) // 2
        most, least = (
            (middle, least) if power_of_t(middle, effect, alpha, direction) >= POWER else (most, middle)
        )
    return most


def power_of_t(n: int, effect: float, alpha: float, direction: Direction) -> float:
    """The power of the paired t-test with n replicates at a positive effect, from the non-central t distribution."""
    from scipy import stats

    if n < 2:
        return 0.0
    sides = 2 if direction == "different" else 1
    limit, centre = float(stats.t.isf(alpha / sides, n - 1)), effect * math.sqrt(n)
    tails = [float(stats.nct.sf(limit, n - 1, centre))]
    if sides == 2:
        tails.append(float(stats.nct.cdf(-limit, n - 1, centre)))
    # scipy's non-central t gives up far out in its tails, where the normal distribution is as good.
    normal = [float(stats.norm.sf(limit - centre)), float(stats.norm.cdf(-limit - centre))]
    return sum(rough if math.isnan(tail) else tail for tail, rough in zip(tails, normal, strict=False))


class Estimated(HasInterval, Protocol):
    """A difference with its interval and effect size."""

    @property
    def difference(self) -> float | None: ...
    @property
    def effect(self) -> float | None: ...


def beyond_margin(found: Estimated, n: int, direction: Direction, margin: float) -> float | None:
    """The effect that a test has to see: how far the estimate is on the claimed side of the margin, in standard
    deviations of the differences. None where they do not vary, and where there is no interval to know it by."""
    half = half_width(n, 1.0)
    if found.effect is None or found.difference is None or found.low is None or half is None:
        return None
    # An interval may be cut, and an effect of 0 says nothing of the deviation.
    deviation = found.difference / found.effect if found.effect else -found.low / half
    claimed = {"greater": found.difference, "less": -found.difference}.get(direction, abs(found.difference))
    return (claimed + margin) / deviation


def _items(n: int) -> Grouping:
    """n replicates, a before b."""
    return Grouping(np.repeat(np.arange(n), 2), np.tile([True, False], n))


def _p_of_t(
    found: Contrasted, differences: NDArray[np.float64], direction: Direction, margin: float
) -> float | None:
    """p by the paired t-test; None where the differences do not vary, which `found` has no effect size of."""
    n = len(differences)
    if found.difference is None or n < 2:
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    scale = max(abs(found.mean_a or 0.0), abs(found.mean_b or 0.0))
    return by_t(found.difference, error, n, direction, margin) if error > 1e-12 * scale else None
