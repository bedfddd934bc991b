"""Degrees: how evenly connections are spread over the units that a layer writes and the inputs that it reads.

A layer is a bipartite graph: its units (for a convolution, output channels) on one side, its inputs (an input
channel at one place of the kernel) on the other, a living weight an edge. Units without any count, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tombola.compare.measures import MEASURES, Layer, Layerwise, Measure, masks, own_mask, quotient

Floats = NDArray[np.float64]


def edges(living: Layer) -> NDArray[np.bool_]:
    """The graph of a layer as a matrix [units, inputs]."""
    return living.reshape(len(living), -1)


def in_degrees(living: Layer) -> Floats:
    """How many inputs each unit keeps."""
    return np.asarray(edges(living).sum(axis=1), np.float64)


def out_degrees(living: Layer) -> Floats:
    """How many units keep each input."""
    return np.asarray(edges(living).sum(axis=0), np.float64)


def gini(numbers: Floats) -> float:
    """Half the mean difference of two of the numbers over their mean (Gini 1912): 0 where all are equal, close to
    1 where one has all; NaN where there is nothing to share."""
    ranks = 2 * np.arange(1, len(numbers) + 1) - len(numbers) - 1
    return float(quotient(np.asarray(ranks @ np.sort(numbers)), np.asarray(len(numbers) * numbers.sum())))


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's correlation of two lists of numbers, NaN where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale > 0 else np.nan


def input_maps(a: Layer, b: Layer) -> float:
    """Correlation over inputs of how many units keep them."""
    return correlation(out_degrees(a), out_degrees(b))


SUMMARIES: dict[str, tuple[Callable[[Floats], float], str]] = {
    "gini": (gini, "Gini coefficient"),
    "mean": (np.mean, "mean"),
    "max": (np.max, "largest"),
}
SIDES_OF_A_LAYER = {
    "in": (in_degrees, "of the inputs that a unit keeps"),
    "out": (out_degrees, "of the units that keep an input"),
}

for way, (degrees, of_what) in SIDES_OF_A_LAYER.items():
    for name, (summary, words) in SUMMARIES.items():
        MEASURES.register(
            f"{way}-degree-{name}", f"one ticket: {words} {of_what}, a layer (Frankle & Carbin 2019, App. F)"
        )(
            Measure(
                Layerwise(
                    own_mask, lambda living, degrees=degrees, summary=summary: summary(degrees(living))
                ),
                family="topology",
                reads="mask",
                nulls=("layer-shuffle",),
                subjects=1,
            )
        )
MEASURES.register(
    "input-map", "correlation over inputs of how many units keep them (Frankle & Carbin 2019, App. F.6)"
)(Measure(Layerwise(masks, input_maps), family="topology", reads="mask", nulls=("layer-shuffle",)))
