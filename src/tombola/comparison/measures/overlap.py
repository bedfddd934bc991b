"""Overlap of two masks: which weights both keep, against what two such masks share by chance."""

from __future__ import annotations

from functools import partial

import numpy as np

from tombola.alignment.align import jaccard_of_sets
from tombola.alignment.matching import forward, ties
from tombola.alignment.network import chain
from tombola.comparison.measures.base import (
    MEASURES,
    TABLE,
    Additive,
    Case,
    Counts,
    Layer,
    Measure,
    masks,
    quotient,
)


def table(a: Layer, b: Layer) -> Counts:
    """(weights in all, kept by a, kept by b, kept by both)."""
    return np.array([a.size, np.count_nonzero(a), np.count_nonzero(b), np.count_nonzero(a & b)], np.float64)


_mask_pair = partial(Measure, family="overlap", reads="mask", nulls=("layer-shuffle",))
_kept = partial(Additive, masks, table)


def jaccard(counts: Counts) -> Counts:
    """Kept by both, of those that either keeps."""
    _, a, b, both = counts
    return quotient(both, a + b - both)


def overlap_coefficient(counts: Counts) -> Counts:
    """Kept by both, of what the sparser one keeps."""
    _, a, b, both = counts
    return quotient(both, np.minimum(a, b))


def hamming(counts: Counts) -> Counts:
    """Kept by exactly one, of all weights."""
    size, a, b, both = counts
    return quotient(a + b - 2 * both, size)


def kept_by_both(counts: Counts) -> Counts:
    """Kept by both, of all weights."""
    size, _, _, both = counts
    return quotient(both, size)


MEASURES.register("jaccard", "weights that both keep, of those that either keeps (Paganini & Forde 2020)")(
    _mask_pair(_kept(jaccard), exact=TABLE)
)
MEASURES.register(
    "overlap-coefficient", "weights that both keep, of those that the sparser keeps (Simpson 1943)"
)(_mask_pair(_kept(overlap_coefficient), exact=TABLE))
MEASURES.register("hamming", "share of weights that exactly one of the two keeps (You et al. 2020)")(
    _mask_pair(_kept(hamming), exact=TABLE, alike=-1)
)
MEASURES.register("kept-by-both", "share of weights that both keep (Paganini & Forde 2020)")(
    _mask_pair(_kept(kept_by_both), exact=TABLE)
)


def unit_distances(a: Layer, b: Layer) -> Counts:
    """(sum over units of the Jaccard distance of their sets of inputs, number of units).

    Two units without inputs are at distance 0, units without a common one at distance 1.
    """
    mine, theirs = a.reshape(len(a), -1), b.reshape(len(b), -1)
    either = np.count_nonzero(mine | theirs, axis=1)
    both = np.count_nonzero(mine & theirs, axis=1)
    return np.array([np.sum(1 - both[either > 0] / either[either > 0]), len(mine)], np.float64)


def shuffled_units(a: Layer, b: Layer, n: int, rng: np.random.Generator) -> Counts:
    """The same [2, n] for a and b with its weights at random places of the layer: how many of them fall on each
    unit, and how many of those on inputs that a's unit has."""
    mine = np.count_nonzero(a.reshape(len(a), -1), axis=1)
    width = a.size // len(a)
    theirs = rng.multivariate_hypergeometric(
        np.full(len(a), width), int(np.count_nonzero(b)), n, method="marginals"
    )
    both = rng.hypergeometric(mine, width - mine, theirs)
    either = mine + theirs - both
    distances = np.where(either > 0, 1 - both / np.maximum(either, 1), 0.0)
    return np.array([distances.sum(axis=1), np.full(n, len(a))], np.float64)


def mean_of_units(counts: Counts) -> Counts:
    """The sum per unit."""
    return quotient(counts[0], counts[1])


MEASURES.register(
    "unit-distance",
    "mean Jaccard distance of the units' input sets; aligned by mask it is NNSTD (Liu et al. 2020)",
)(_mask_pair(Additive(masks, unit_distances, mean_of_units), drawn=shuffled_units, alike=-1))


def matched_masks(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """The masks of the two, the units of b in the order that matches those of a.

    Layer by layer from the input: a unit is the set of the inputs that it keeps, in the order found so far, the
    cost of a match the Jaccard distance of two such sets; linear assignment makes the sum of costs smallest (Liu
    et al. 2020), ties broken by colours. Outputs keep their places. Without a network, linear layers follow one
    another.
    """
    network = case.network
    if not network.groups and network.architecture is None:
        network = chain(case.a.mask)
    mine, theirs = (
        {name: living.astype(np.float64) for name, living in subject.living().items()}
        for subject in (case.a, case.b)
    )
    b = network.relabelled(
        case.b, forward(mine, theirs, network, jaccard_of_sets, ties(mine, theirs, network))
    ).living()
    return {name: (living, b[name]) for name, living in case.a.living().items()}


MEASURES.register(
    "nnstd", "mean cost of matching units by the sets of inputs that they keep, a layer (Liu et al. 2020)"
)(
    Measure(
        Additive(matched_masks, unit_distances, mean_of_units),
        family="topology",
        reads="mask",
        nulls=("layer-shuffle",),
        alike=-1,
        wired=True,
    )
)
