"""For every arm what it keeps bit-equal to the ticket, and a scene to try it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from lottery_parts import lenet, net, sparse

from tombola.lottery import ARMS, Scene
from tombola.masks import Mask
from tombola.seeds import Seeds
from tombola.training import Start


@dataclass(frozen=True)
class Keeps:
    """What an arm keeps bit-equal to the ticket; what it does not keep, it must change."""

    mask: bool
    layer_counts: bool
    total: bool
    weights: bool
    signs: bool


KEEPS: Mapping[str, Keeps] = {
    "ticket": Keeps(mask=True, layer_counts=True, total=True, weights=True, signs=True),
    "reinit": Keeps(mask=True, layer_counts=True, total=True, weights=False, signs=False),
    "random-mask": Keeps(mask=False, layer_counts=True, total=True, weights=True, signs=True),
    "random-mask-global": Keeps(mask=False, layer_counts=False, total=True, weights=True, signs=True),
}

NETWORKS = {"lenet": (lenet, "out.weight"), "net": (net, "conv.weight")}
"""Architecture, and the tensor that a rate of 0 keeps whole."""


def scene(network: str = "lenet", draw: int = 0, level: int = 3, r: int = 0, whole: bool = True) -> Scene:
    make, kept = NETWORKS[network]
    arch = make()
    seeds = Seeds.replicate(0, r)
    rewound = arch.initial(seeds.stream("init"))
    rewound = {n: t + 1 if not t.is_floating_point() else t + 0.01 for n, t in rewound.items()}  # not initial
    # Layers of different densities, so that a global shuffle has something to even out.
    dense = sparse(arch, 0.7, [kept] if whole else [])
    thin = sparse(arch, 0.2, [kept] if whole else [])
    mask = Mask({name: (dense if i % 2 else thin)[name] for i, name in enumerate(arch.prunable)})
    rates = {name: 0.0 if whole and name == kept else 0.2 for name in arch.prunable}
    return Scene(arch, mask, rewound, rates, seeds, level, draw)


def treated(arm: str, where: Scene) -> Start:
    mask, state, dead = ARMS[arm].treat(where)
    return Start(state, mask, where.seeds, where.level, 0, dead)


every_arm = pytest.mark.parametrize("arm", ARMS)
every_network = pytest.mark.parametrize("network", NETWORKS)
