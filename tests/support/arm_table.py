"""For every arm what it keeps bit-equal to the ticket, and a scene to try it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from support.cases import each
from support.lottery_parts import CLASSES, lenet, sparse
from support.rounding import made_once
from tombola.lottery.arms.catalog import ARMS, DOSES, LAYER_ARMS
from tombola.lottery.arms.context import Rung, Scene
from tombola.lottery.arms.donors import Donor, Lent
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing, prober
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.seeds import Seeds, stream
from tombola.training.start import Start


@dataclass(frozen=True)
class Keeps:
    """What an arm keeps bit-equal to the ticket; what it does not keep, it must change."""

    mask: bool = True
    layer_counts: bool = True
    total: bool = True
    weights: bool = True
    signs: bool = True
    others: bool = True
    """Biases, norms and buffers."""
    dead: bool = True
    """Dead weights are zero."""
    few: bool = False
    """What it changes are a few of many."""
    some: bool = False
    """Of what it changes, a part may come out as it was: a shuffle can leave a thing in its place."""


SHUFFLED = Keeps(mask=False)
REORDERED = Keeps(weights=False, signs=False, some=True)
REDRAWN = Keeps(weights=False, signs=False)
RESIZED = Keeps(weights=False)
GIVEN = Keeps(mask=False, layer_counts=False, total=False)
"""Another ladder's mask over the ticket's weights."""

KEEPS: Mapping[str, Keeps] = {
    "ticket": Keeps(),
    "continued": Keeps(weights=False, signs=False, others=False, some=True),
    "reinit": Keeps(weights=False, signs=False, others=False),
    "reinit-signs": RESIZED,
    "reinit-ticket": REORDERED,
    "reshuffle": REORDERED,
    "reshuffle-signs": Keeps(weights=False, some=True),
    "constant": REDRAWN,
    "constant-signs": RESIZED,
    **{f"noise-{times}": REDRAWN for times in ("0.5", "1", "2", "3")},
    "random-mask": SHUFFLED,
    "random-mask-global": Keeps(mask=False, layer_counts=False),
    "invert": Keeps(mask=False, layer_counts=False, total=False),
    "partner": Keeps(mask=False, layer_counts=False, total=False),
    "rewire": SHUFFLED,
    "input-map": SHUFFLED,
    "one-shot": SHUFFLED,
    "magnitude-at-init": SHUFFLED,
    "snip-at-init": SHUFFLED,
    "grasp-at-init": SHUFFLED,
    "synflow-at-init": SHUFFLED,
    "fresh": Keeps(mask=False, weights=False, signs=False, others=False),
    "permute-units": Keeps(mask=False, weights=False, signs=False, others=False, some=True),
    "permute-mask": SHUFFLED,
    "freeze": Keeps(dead=False),
    "zero-towards": Keeps(dead=False),
    "zero-towards-all": Keeps(weights=False, signs=False, dead=False, some=True),
    **dict.fromkeys(
        ("donor", "donor-aligned", "donor-shuffled", "donor-rewired", "donor-aligned-rewired"), GIVEN
    ),
    **dict.fromkeys(
        ("donor-fit", "donor-fit-aligned", "donor-layers-apart", "donor-input-map", "twin"), GIVEN
    ),
    **dict.fromkeys(LAYER_ARMS, GIVEN),
    "donor-transplant": Keeps(
        mask=False, layer_counts=False, total=False, weights=False, signs=False, others=False
    ),
    "donor-signs": Keeps(some=True, mask=False, layer_counts=False, total=False, weights=False, signs=False),
    "donor-signs-shuffled": Keeps(
        some=True, mask=False, layer_counts=False, total=False, weights=False, signs=False
    ),
    **dict.fromkeys(("shared-rewired", "private-rewired", "fit-shared-rewired"), SHUFFLED),
    **dict.fromkeys(("core", "core-apart", "core-fit", "core-fit-apart", "guided", "guided-fit"), SHUFFLED),
    "flip-shared": Keeps(weights=False, signs=False, some=True, few=True),
    "flip-private": Keeps(weights=False, signs=False, some=True, few=True),
    **{f"dose-{percent}": SHUFFLED for percent in DOSES},
}


class Images(nn.Module):
    """Two convolutions with batch norm and two linear layers, for inputs [1, 4, 4]; enough units to be shuffled."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.fc, self.out = nn.Linear(24, 10), nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu())).relu()
        out: Tensor = self.out(self.fc(x.flatten(1)).relu())
        return out


@made_once
def images() -> Architecture:
    return architecture(Images, (1, 4, 4), CLASSES)


NETWORKS = {"lenet": (lenet, "out.weight"), "images": (images, "conv1.weight")}
"""Architecture, and the tensor that a rate of 0 keeps whole."""


def mixed(arch: Architecture, thin: float, dense: float, whole: Sequence[str], seed: int) -> Mask:
    """Layers of two densities, so that a global shuffle has something to even out."""
    masks = [sparse(arch, density, whole, seed) for density in (thin, dense)]
    return Mask({name: masks[place % 2][name] for place, name in enumerate(arch.prunable)})


def scene(network: str = "lenet", draw: int = 0, level: int = 3, r: int = 0, whole: bool = True) -> Scene:
    make, kept = NETWORKS[network]
    arch = make()
    seeds = Seeds.replicate(0, r)
    initial = arch.initial(seeds.stream("init"))
    rewound = {n: t + 1 if not t.is_floating_point() else t + 0.01 for n, t in initial.items()}
    rewound = odd_units(rewound)
    full = [kept] if whole else []
    fresh = arch.initial(stream(r, level, draw, "fresh"))
    own = mixed(arch, 0.5, 0.9, full, seed=1000 * r + 10 * level + draw + 2)
    dense = Mask.dense(arch.prunable_shapes)
    return Scene(
        architecture=arch,
        mask=mixed(arch, 0.2, 0.7, full, seed=0),
        rewound=rewound,
        rates={name: 0.0 if whole and name == kept else 0.2 for name in arch.prunable},
        seeds=seeds,
        level=level,
        draw=draw,
        initial=initial,
        trained=grown_or_shrunk(initial, r),
        partner=mixed(arch, 0.3, 0.5, full, seed=1),
        dense=Rung(dense, initial, grown_or_shrunk(initial, r + 100)),
        own=Rung(own, fresh, own.apply(grown_or_shrunk(fresh, r + 200))),
        probing=lambda: probes(arch),
        lent=lambda: Lent([lender(arch, full, r, seed) for seed in (3, 4, 5)], lender(arch, full, r, 6)),
    )


def lender(arch: Architecture, whole: Sequence[str], r: int, seed: int) -> Donor:
    """A donor whose ticket has other counts than the scene's."""
    initial = odd_units(arch.initial(stream(r, seed, "donor")))
    return Donor(mixed(arch, 0.25, 0.6, whole, seed), initial, grown_or_shrunk(initial, r + 100 * seed))


def probes(arch: Architecture) -> Probing:
    """Probes of a network on twelve examples of noise."""
    x = torch.from_numpy(stream("examples").standard_normal((12, *arch.input_shape))).float()
    return prober(arch, x, torch.arange(12) % CLASSES)


def grown_or_shrunk(state: State, r: int) -> State:
    """About half of the values made larger, the others smaller, some so much that they changed their sign."""
    rng = stream(r, "grown or shrunk")
    return {
        name: (tensor * torch.from_numpy(rng.uniform(-0.5, 2.5, tuple(tensor.shape)))).to(tensor.dtype)
        for name, tensor in state.items()
    }


def odd_units(state: State) -> State:
    """A state in which no two units have the same bias, norm or statistics."""
    vectors = {name: value for name, value in state.items() if value.dim() == 1}
    return {**state, **{name: value + torch.arange(len(value)) / 7 for name, value in vectors.items()}}


def treated(arm: str, where: Scene) -> Start:
    mask, state, dead = treat(ARMS[arm], where)
    return Start(state, mask, where.seeds, where.level, 0, dead)


every_arm = each("arm", ARMS)
every_network = pytest.mark.parametrize("network", NETWORKS)
