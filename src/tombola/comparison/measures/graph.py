"""Degrees: how evenly connections are spread over the units that a layer writes and the inputs that it reads.

A layer is a bipartite graph: its units (for a convolution, output channels) on one side, its inputs (an input
channel at one place of the kernel) on the other, a living weight an edge. Units without a weight count too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from tombola.comparison.measures.base import (
    MEASURES,
    Additive,
    Counts,
    Layer,
    Layerwise,
    Measure,
    masks,
    own_mask,
    quotient,
)

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


def shared_ends(living: Layer) -> Floats:
    """The matrix of how many neighbours two nodes have in common, of the side that has fewer nodes."""
    graph = edges(living).astype(np.float32)  # whose sums of zeros and ones are exact up to 2^24
    shared = graph @ graph.T if graph.shape[0] <= graph.shape[1] else graph.T @ graph
    return shared.astype(np.float64)


def two_largest(living: Layer) -> tuple[float, float]:
    """The two largest singular values of the graph's matrix: the largest eigenvalues of its adjacency."""
    return _two_largest(np.packbits(living).tobytes(), edges(living).shape)


@lru_cache(maxsize=32)
def _two_largest(bits: bytes, shape: tuple[int, int]) -> tuple[float, float]:
    """Those of packed bits: both measures that read them meet the same layers one after the other."""
    living = np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).reshape(shape)
    gram = shared_ends(living)
    if len(gram) < 2:
        return float(np.sqrt(gram.sum())), np.nan
    second, first = np.linalg.eigvalsh(gram)[-2:]
    # A singular value that is 0 comes as the root of a rounding error.
    return float(np.sqrt(first)), float(np.sqrt(second)) if second > 1e-12 * first else 0.0


def spectral_gap(living: Layer) -> float:
    """1 - second over largest singular value: 0 where the graph falls apart evenly, 1 for a complete graph."""
    first, second = two_largest(living)
    return 1 - second / first if first > 0 else np.nan


def ramanujan(living: Layer) -> float:
    """The second largest singular value over the Ramanujan bound, sqrt(d - 1) + sqrt(e - 1).

    d and e are the mean degrees of the units and inputs that have any weight: of a layer whose degrees are all
    equal on each side it is the bound itself, and at most 1 says that the graph is Ramanujan. Others are held
    against the bound of an equal-degree layer of as many weights. NaN where all degrees are 1, whose bound is 0.
    """
    means = [
        degrees[degrees > 0].mean() if degrees.any() else 1.0
        for degrees in (in_degrees(living), out_degrees(living))
    ]
    bound = sum(np.sqrt(mean - 1) for mean in means)
    return two_largest(living)[1] / float(bound) if bound > 0 else np.nan


def butterflies(living: Layer) -> Counts:
    """(pairs of units with a pair of inputs that both keep: 2 x 2 motifs, or cycles of four edges)."""
    shared = shared_ends(living)
    pairs = shared * (shared - 1) / 2
    return np.array([(pairs.sum() - np.trace(pairs)) / 2])


_own = partial(Measure, family="topology", reads="mask", nulls=("rewire",), subjects=1)

MEASURES.register(
    "spectral-gap", "one ticket: 1 - second over first singular value of a layer's mask (Pal et al. 2021)"
)(_own(Layerwise(own_mask, spectral_gap)))
MEASURES.register(
    "ramanujan",
    "one ticket: second singular value of a layer's mask over the Ramanujan bound (Hoang et al. 2023)",
)(_own(Layerwise(own_mask, ramanujan)))
MEASURES.register(
    "butterflies", "one ticket: pairs of units that share a pair of inputs, 2 x 2 motifs (Milo et al. 2002)"
)(_own(Additive(own_mask, butterflies, lambda counts: counts[0])))
