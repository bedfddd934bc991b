"""Kernels: which signed 3 x 3 patterns a convolution holds.

A kernel's code reads its nine entries of m * sign(w), row by row, as digits of base 3 (dead 1, positive 2, negative
0), the first the lowest: one of 3^9 = 19,683.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tombola.comparison.measures.base import (
    MEASURES,
    Additive,
    Case,
    Counts,
    Layer,
    Layerwise,
    Measure,
    signs,
)

Integers = NDArray[np.int64]
PLACES = 9
CODES = 3**PLACES
EMPTY = (CODES - 1) // 2
"""The code of a kernel without a living weight: nine digits 1."""


def patterns(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """m * sign(w) of the layers with 3 x 3 kernels, [kernels, 9], of the two."""
    return {
        name: (one.reshape(-1, PLACES), other.reshape(-1, PLACES))
        for name, (one, other) in signs(case).items()
        if one.shape[2:] == (3, 3)
    }


def codes(kernels: Layer) -> Integers:
    """The code of each kernel [kernels, 9]."""
    return (kernels.astype(np.int64) + 1) @ 3 ** np.arange(PLACES)


def histograms(a: Layer, b: Layer) -> Counts:
    """How many kernels of each have each code [2, 3^9]. Empty kernels, whose number is that of the weights' density
    more than of a pattern, are left out."""
    counts = np.array([np.bincount(codes(kernels), minlength=CODES) for kernels in (a, b)], np.float64)
    counts[:, EMPTY] = 0
    return counts


def pattern_overlap(counts: Counts) -> Counts:
    """The part that the two distributions of codes have in common: 1 - their total variation distance."""
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return np.asarray(np.nan)
    return np.asarray(np.minimum(*(counts / totals)).sum())


def dependence(kernels: Layer, _: Layer) -> float:
    """Total variation distance of the distribution of codes from that of independent places.

    The independent model gives each place of the kernel its own frequencies of -1, 0 and 1, and a code their
    product. Few kernels are far from it by chance alone: what counts is the excess over the null.
    """
    if not len(kernels):
        return np.nan
    seen = np.bincount(codes(kernels), minlength=CODES) / len(kernels)
    model = np.ones(1)
    for place in range(PLACES):
        frequencies = np.bincount(kernels[:, place].astype(np.int64) + 1, minlength=3) / len(kernels)
        model = np.outer(frequencies, model).reshape(-1)  # later places are the higher digits
    return float(np.abs(seen - model).sum() / 2)


MEASURES.register(
    "kernel-overlap",
    "common part of the distributions of signed 3 x 3 kernels that live (after Signs in the Lottery 2023)",
)(
    Measure(
        Additive(patterns, histograms, pattern_overlap),
        family="kernels",
        reads="side",
        nulls=("kernel-shuffle",),
    )
)
MEASURES.register(
    "kernel-dependence",
    "one ticket: distance of its signed 3 x 3 kernels from independent places (after Signs in the Lottery 2023)",
)(
    Measure(
        Layerwise(patterns, dependence), family="kernels", reads="side", nulls=("kernel-shuffle",), subjects=1
    )
)
