"""The 95% t-interval of a mean: the one place that says when there is one, how wide it is, and where it is cut."""

from __future__ import annotations

import math

FEWEST = 3
"""Fewer values have no interval: by t, one of two values is 12.7 standard errors wide on each side, and covers
95% only if the values are normal to their tails."""
Range = tuple[float, float]
"""Between which numbers a mean can lie at all."""
EVERYWHERE: Range = (-math.inf, math.inf)
SHARE: Range = (0.0, 1.0)
BOUNDS: dict[str, Range] = {
    "accuracy": SHARE,
    "error": SHARE,
    "gap": (-1.0, 1.0),
    "gap_mse": EVERYWHERE,
    "mse": (0.0, math.inf),
    "iteration": (0.0, math.inf),
    "loss": (0.0, math.inf),
}
"""How the name of a quantity ends -> where it can lie; other quantities anywhere."""


def half_width(n: int, deviation: float) -> float | None:
    """Half the width of a 95% t-interval of a mean of n values with this sample deviation; None below three values."""
    if n < FEWEST:
        return None
    from scipy.special import stdtrit  # here, where it is needed: most of what reads intervals needs none

    return float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)


def interval(
    mean: float, deviation: float | None, n: int, within: Range = EVERYWHERE
) -> tuple[float | None, float | None]:
    """The 95% t-interval of a mean of n values with this sample deviation; None twice below three values.

    It is cut at the ends of `within`, which holds the mean of everything that could be measured: so it covers no
    less for being cut.
    """
    half = None if deviation is None else half_width(n, deviation)
    return (None, None) if half is None else cut(mean - half, mean + half, within)


def cut(low: float | None, high: float | None, within: Range) -> tuple[float | None, float | None]:
    """The part of an interval that lies within a range; None stays None."""
    least, most = within
    return (
        None if low is None else min(max(low, least), most),
        None if high is None else max(min(high, most), least),
    )


def bounds(quantity: str) -> Range:
    """Where the mean of a quantity can lie: an accuracy in 0..1, a count of iterations not below 0."""
    return next((BOUNDS[end] for end in BOUNDS if quantity.endswith(end)), EVERYWHERE)


def difference_bounds(quantity: str, means: int = 2) -> Range:
    """Where the difference of two means of a quantity can lie, of two accuracies in -1..1; or of two such differences,
    of four means."""
    low, high = bounds(quantity)
    return (low - high) * (means // 2), (high - low) * (means // 2)
