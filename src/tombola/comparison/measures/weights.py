"""Weights: how the values of survivors are spread, how far they move, and how alike those of two tickets are."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from tombola.alignment.subject import DENSE
from tombola.comparison.measures.base import MEASURES, Additive, Case, Counts, Layerwise, Measure, quotient
from tombola.comparison.measures.graph import correlation

Floats = NDArray[np.float64]
Split = tuple[Floats, Floats]


def common(case: Case) -> dict[str, Split]:
    """The values of two subjects where both keep the weight."""
    both = case.a.mask & case.b.mask
    one, other = (subject.values(side) for subject, side in zip((case.a, case.b), case.sides, strict=True))
    return {name: (one[name][kept.numpy()], other[name][kept.numpy()]) for name, kept in both.items()}


def kept_and_pruned(case: Case) -> dict[str, Split]:
    """The dense network's values at a side, of weights that the ticket keeps and of those it lacks."""
    assert case.side is not None
    values = case.a.values(DENSE[case.side])
    return {name: (values[name][kept], values[name][~kept]) for name, kept in case.a.living().items()}


def moves(case: Case) -> dict[str, Split]:
    """How far each weight moves in the training of the dense network, of those kept and of those pruned."""
    start, end = (case.a.values(which) for which in DENSE.values())
    moved = {name: np.abs(end[name] - start[name]) for name in start}
    return {name: (moved[name][kept], moved[name][~kept]) for name, kept in case.a.living().items()}


def moments(x: Floats, y: Floats) -> Counts:
    """(number, sums of x, y, x^2, y^2, x y, (x - y)^2)."""
    return np.array([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y, (x - y) @ (x - y)], np.float64)


def distance(counts: Counts) -> Counts:
    """Euclidean distance of the values on common survivors, NaN where there are none."""
    return np.where(counts[0] > 0, np.sqrt(counts[6]), np.nan)


def angle(counts: Counts) -> Counts:
    """2 / pi times the angle between the values on common survivors: 0 for one direction, 1 for a right angle."""
    cosine = np.clip(quotient(counts[5], np.sqrt(counts[3] * counts[4])), -1, 1)
    return np.asarray(2 / np.pi * np.arccos(cosine))


def value_correlation(counts: Counts) -> Counts:
    """Pearson's correlation of the values on common survivors."""
    n, x, y, xx, yy, xy, _ = counts
    spread = np.sqrt(np.maximum(n * xx - x * x, 0)) * np.sqrt(np.maximum(n * yy - y * y, 0))
    return quotient(n * xy - x * y, spread)


def kolmogorov_smirnov(kept: Floats, pruned: Floats) -> float:
    """The largest difference of the two distribution functions, NaN where one has no values."""
    if not len(kept) or not len(pruned):
        return np.nan
    places = np.concatenate([kept, pruned])
    below = (np.searchsorted(np.sort(part), places, side="right") / len(part) for part in (kept, pruned))
    return float(np.abs(np.subtract(*below)).max())


def wasserstein(kept: Floats, pruned: Floats) -> float:
    """The area between the two distribution functions, in standard deviations of all values together."""
    from scipy.stats import wasserstein_distance  # here, where it is needed: it takes long to import

    sigma = np.concatenate([kept, pruned]).std()
    return (
        float(wasserstein_distance(kept, pruned) / sigma) if len(kept) and len(pruned) and sigma else np.nan
    )


def ratio(kept: Floats, pruned: Floats) -> float:
    """The mean of the one over the mean of the other."""
    if not len(kept) or not len(pruned) or not pruned.any():
        return np.nan
    return float(kept.mean() / pruned.mean())


def movement(start: Floats, end: Floats) -> float:
    """Mean |end - start| of survivors, in standard deviations of their start."""
    sigma = start.std() if len(start) else 0.0
    return float(np.abs(end - start).mean() / sigma) if sigma else np.nan


def start_and_end(start: Floats, end: Floats) -> float:
    """Pearson's correlation of the survivors' initial and final values."""
    return correlation(start, end) if len(start) else np.nan


def bimodality(values: Floats, _: Floats) -> float:
    """Sarle's coefficient (g^2 + 1) / (k + 3 (n - 1)^2 / ((n - 2) (n - 3))) of n values with sample skewness g and
    sample excess kurtosis k, both bias-corrected (SAS Institute 1990; Pfister et al. 2013).

    1/3 for a normal distribution, 5/9 for a uniform one, 1 for two values; NaN below four values, or for equal ones.
    """
    n = len(values)
    if n < 4 or np.ptp(values) == 0:
        return np.nan
    z = values - values.mean()
    second, third, fourth = (float(np.mean(z**power)) for power in (2, 3, 4))
    skewness = third / second**1.5 * np.sqrt(n * (n - 1)) / (n - 2)
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (fourth / second**2 - 3) + 6)
    return float((skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


_measure = partial(Measure, family="weights")
_pair = partial(_measure, reads="side", nulls=("value-shuffle",))
_pruned = partial(_measure, reads="dense side", nulls=("dense-shuffle",), subjects=1)
_trained = partial(_measure, reads="both sides", nulls=("end-shuffle",), subjects=1)

# fmt: off
for _name, _measured, _line in (
    ("weight-distance", _pair(Additive(common, moments, distance), alike=-1),
     "Euclidean distance of values on common survivors (Frankle et al. 2020)"),
    ("weight-angle", _pair(Additive(common, moments, angle), alike=-1),
     "angle of values on common survivors, in right angles (Maene et al. 2021)"),
    ("weight-correlation", _pair(Additive(common, moments, value_correlation)),
     "correlation of values on common survivors (Pearson 1895)"),
    ("kept-ks", _pruned(Layerwise(kept_and_pruned, kolmogorov_smirnov)),
     "one ticket: Kolmogorov-Smirnov distance of kept from pruned dense weights (Smirnov 1948)"),
    ("kept-wasserstein", _pruned(Layerwise(kept_and_pruned, wasserstein)),
     "one ticket: Wasserstein distance of kept from pruned dense weights, in sigmas (Villani 2009)"),
    ("kept-movement", _pruned(Layerwise(moves, ratio), reads="both dense sides"),
     "one ticket: movement of kept over that of pruned weights in dense training (Frankle & Carbin 2019, App. F)"),
    ("movement", _trained(Layerwise(common, movement)),
     "one ticket: mean movement of survivors in training, in sigmas (Frankle & Carbin 2019, App. F)"),
    ("start-end-correlation", _trained(Layerwise(common, start_and_end)),
     "one ticket: correlation of survivors' initial and final values (house measure)"),
    ("bimodality",
     _measure(Layerwise(common, bimodality), reads="side", nulls=("random-sparse",), subjects=1),
     "one ticket: Sarle's coefficient of the survivors' values (Frankle & Carbin 2019, App. F)"),
):
    MEASURES.register(_name, _line)(_measured)
# fmt: on
