"""Spectra and motifs of a layer as a bipartite graph (see `degrees` for its nodes and edges)."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from tombola.compare.degrees import edges, in_degrees, out_degrees
from tombola.compare.measures import MEASURES, Additive, Counts, Layer, Layerwise, Measure, own_mask

Floats = NDArray[np.float64]


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
    means = [degrees[degrees > 0].mean() if degrees.any() else 1.0 for degrees in _both(living)]
    bound = sum(np.sqrt(mean - 1) for mean in means)
    return two_largest(living)[1] / float(bound) if bound > 0 else np.nan


def butterflies(living: Layer) -> Counts:
    """(pairs of units with a pair of inputs that both keep: 2 x 2 motifs, or cycles of four edges)."""
    shared = shared_ends(living)
    pairs = shared * (shared - 1) / 2
    return np.array([(pairs.sum() - np.trace(pairs)) / 2])


def _both(living: Layer) -> tuple[Floats, Floats]:
    return in_degrees(living), out_degrees(living)


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
