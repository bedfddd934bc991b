"""The 95% interval of a ratio of two means over the same replicates (Fieller 1954)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tombola.stats.intervals import FEWEST, half_width


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means with its 95% interval."""

    value: float
    low: float
    high: float


def ratio_interval(part: Sequence[float], whole: Sequence[float]) -> Ratio | None:
    """mean(part) / mean(whole) of paired values, one of each a replicate, with Fieller's 95% interval.

    None below three replicates, and where the interval of mean(whole) holds 0: then any ratio may be true, and a
    share of a gap that may not be there is no number. Fieller's interval holds every ratio q at which the mean of
    part - q whole is not told from 0 by t, so it is exact where these are normal; it is not symmetric about the
    ratio. Simulated with normal values, n = 8 and a whole of 5 standard errors, it covers 95%
    (tests/stats/test_ratio.py).
    """
    x, y = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    n = len(x)
    if len(y) != n:
        raise ValueError(f"a ratio is of paired values, found {n} and {len(y)}")
    if n < FEWEST:
        return None
    t = half_width(n, math.sqrt(n))  # of a mean whose standard error is 1
    assert t is not None
    mean_x, mean_y = float(x.mean()), float(y.mean())
    (xx, xy), (_, yy) = (np.cov(x, y) / n).tolist()
    # (mean_x - q mean_y)^2 <= t^2 (xx - 2 q xy + q^2 yy) is a quadratic in q, of a finite range where a > 0.
    a, b, c = mean_y**2 - t**2 * yy, mean_x * mean_y - t**2 * xy, mean_x**2 - t**2 * xx
    if a <= 0:
        return None
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Ratio(mean_x / mean_y, (b - root) / a, (b + root) / a)
