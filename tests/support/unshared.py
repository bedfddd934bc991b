"""Replicates of independent dense networks with tickets of their largest weights and rewired ones: nothing is shared,
but what is planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from support.compare_parts import mlp, shapes
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.decisions import decide
from tombola.comparison.pairs import compare
from tombola.masks.mask import Mask
from tombola.masks.rewire import rewired
from tombola.models.architecture import architecture
from tombola.models.units import UnitGroup
from tombola.seeds import stream

Floats = NDArray[np.float64]
SPREAD = 0.5
"""Deviation of the logarithm of a unit's scale where units are uneven."""


@dataclass(frozen=True)
class Net:
    """The groups of hidden units of an architecture, and its weights: name -> shape."""

    network: Network
    shapes: Mapping[str, tuple[int, ...]]


def layers(*widths: int) -> Net:
    """An MLP."""
    return Net(mlp(*widths), shapes(*widths))


@dataclass(frozen=True)
class Make:
    """How the networks of a study are made.

    `density` of each tensor lives, but what `kept` says of those that it names. With `uneven`, weights are multiplied
    by a scale of each unit at either end; inputs and outputs have scales of their own in each network, or with
    `pixels` the same in all. `planted` is the share of each tensor's places that hold the same weights in all
    networks, before each has its hidden units put in a random order.
    """

    net: Net
    density: float = 0.2
    uneven: bool = False
    pixels: bool = False
    planted: float = 0.0
    replicates: int = 6
    kept: Mapping[str, float] = field(default_factory=dict)


CONV = Net(
    Network(
        (
            UnitGroup(12, (("conv1.weight", 0, 1), ("conv2.weight", 1, 1))),
            UnitGroup(16, (("conv2.weight", 0, 1), ("fc.weight", 1, 4))),
            UnitGroup(20, (("fc.weight", 0, 1), ("out.weight", 1, 1))),
        )
    ),
    {
        "conv1.weight": (12, 3, 3, 3),
        "conv2.weight": (16, 12, 3, 3),
        "fc.weight": (20, 64),
        "out.weight": (10, 20),
    },
)
"""Two convolutions, a flatten of 2 x 2 places and two linear layers."""


def real(name: str, *shape: int) -> Net:
    """An architecture of the software on images of a shape, ten classes."""
    found = architecture(name, shape, 10)
    return Net(Network.of(found), found.prunable_shapes)


LENET_5 = real("lenet-5", 1, 28, 28)


def subjects_of(make: Make, seed: int) -> list[Subject]:
    """For each replicate a ticket of the largest weights in each layer, and a rewired one, of one dense network."""
    rng = stream("unshared", seed)
    ends = {
        (name, axis): rng.lognormal(0, SPREAD, size)
        for name, shape in make.net.shapes.items()
        for axis, size in enumerate(shape[:2])
        if axis not in make.net.network.axes[name]
    }
    common = _dense(make, rng, ends)
    places = {name: rng.random(shape) < make.planted for name, shape in make.net.shapes.items()}
    found = []
    for replicate in range(make.replicates):
        own = _dense(make, rng, ends)
        mixed = {name: np.where(places[name], common[name], own[name]) for name in own}
        found += _both(make, _reordered(make, mixed, rng), replicate, rng)
    return found


def decided(make: Make, seed: int, alignments: Sequence[str]) -> pl.DataFrame:
    """The decisions on overlap, one-sided: do the tickets share more than the rewired ones?

    Chance is left out: it is the same for both arms, and nulls through a full matching would take long.
    """
    subjects = subjects_of(make, seed)
    pairs = compare(
        subjects,
        network=make.net.network,
        measures=["jaccard"],
        alignments=alignments,
        n_null=1,
        among=lambda a, b: a.replicate != b.replicate,
    ).with_columns(expected=0.0)
    return decide(pairs, subjects, [("ticket", "rewire")], direction="greater", seed=seed)


def _dense(make: Make, rng: np.random.Generator, ends: dict[tuple[str, int], Floats]) -> dict[str, Floats]:
    """Gaussian weights, times the scales of the units at both ends where they are uneven."""
    hidden = [rng.lognormal(0, SPREAD, group.size) for group in make.net.network.groups]
    weights = {}
    for name, shape in make.net.shapes.items():
        drawn = rng.standard_normal(shape)
        for axis in (0, 1) if make.uneven else ():
            along = [1] * len(shape)
            along[axis] = shape[axis]
            drawn = drawn * _scale(make, rng, name, axis, hidden, ends).reshape(along)
        weights[name] = drawn
    return weights


def _scale(
    make: Make,
    rng: np.random.Generator,
    name: str,
    axis: int,
    hidden: list[Floats],
    ends: dict[tuple[str, int], Floats],
) -> Floats:
    """The scales along an axis: those of hidden units, of inputs or of outputs."""
    if axis in make.net.network.axes[name]:
        group, repeat = make.net.network.axes[name][axis]
        return np.repeat(hidden[group], repeat)
    return ends[name, axis] if make.pixels else rng.lognormal(0, SPREAD, make.net.shapes[name][axis])


def _reordered(make: Make, weights: dict[str, Floats], rng: np.random.Generator) -> dict[str, Floats]:
    """The same network with its hidden units in a random order."""
    states = {name: torch.from_numpy(values) for name, values in weights.items()}
    order: Any = tuple(rng.permutation(group.size) for group in make.net.network.groups)
    subject = Subject("s", Mask.dense(make.net.shapes), dense=states)
    return (
        subject.values("dense") if not order else make.net.network.relabelled(subject, order).values("dense")
    )


def _both(make: Make, weights: dict[str, Floats], replicate: int, rng: np.random.Generator) -> list[Subject]:
    dense = {name: torch.from_numpy(values) for name, values in weights.items()}
    ticket, other = {}, {}
    for name, values in weights.items():
        size = np.abs(values)
        left = max(1, round(make.kept.get(name, make.density) * size.size))
        living = size >= np.sort(size, axis=None)[-left]
        ticket[name] = torch.from_numpy(living)
        other[name] = torch.from_numpy(rewired(living.reshape(len(living), -1), rng).reshape(living.shape))
    return [
        Subject(
            f"R:r{replicate}/{arm}",
            Mask(mask),
            dense=dense,
            replicate=f"R:r{replicate}",
            arm=arm,
            density=0.5,
        )
        for arm, mask in (("ticket", ticket), ("rewire", other))
    ]
