"""NNSTD: how far apart two sparse networks are when their units are matched by the inputs that they keep."""

from __future__ import annotations

import numpy as np

from tombola.compare.align import jaccard_of_sets
from tombola.compare.foreign import chain
from tombola.compare.matching import forward
from tombola.compare.measures import MEASURES, Additive, Case, Layer, Measure
from tombola.compare.overlap import mean_of_units, unit_distances


def matched_masks(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """The masks of the two, the units of b in the order that matches those of a.

    Layer by layer from the input: a unit is the set of the inputs that it keeps, in the order found so far, the
    cost of a match the Jaccard distance of two such sets; linear assignment makes the sum of costs smallest (Liu
    et al. 2020). Outputs keep their places. Without a network, linear layers follow one another.
    """
    network = case.network
    if not network.groups and network.architecture is None:
        network = chain(case.a.mask)
    mine, theirs = (
        {name: living.astype(np.float64) for name, living in subject.living().items()}
        for subject in (case.a, case.b)
    )
    b = network.relabelled(case.b, forward(mine, theirs, network, jaccard_of_sets)).living()
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
