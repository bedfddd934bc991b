"""What the compared subjects have in common: which axes of which tensors list the same hidden units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tombola.alignment.subject import Subject
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.units import UnitGroup, permute, unit_axes

Permutation = NDArray[np.intp]
Permutations = tuple[Permutation, ...]
"""For each group of units, `p` such that unit `p[i]` of one network is the counterpart of unit `i` of another."""
Axes = dict[int, tuple[int, int]]
"""Axis of a tensor -> (group of the units it lists, positions per unit)."""


@dataclass(frozen=True)
class Network:
    """The groups of hidden units that can be relabelled, and what activations are computed with.

    A network without groups is compared as it comes. `architecture` and `examples` [examples, *input shape]
    are needed by alignment through activations alone.
    """

    groups: tuple[UnitGroup, ...] = ()
    architecture: Architecture | None = None
    examples: Tensor | None = None
    axes: Mapping[str, Axes] = field(init=False, repr=False)
    """Tensor name -> its axes that list units."""

    def __post_init__(self) -> None:
        axes: dict[str, Axes] = {}
        for index, group in enumerate(self.groups):
            for name, axis, repeat in group.places:
                axes.setdefault(name, {})[axis] = (index, repeat)
        object.__setattr__(self, "axes", axes)

    @classmethod
    def of(cls, architecture: Architecture, examples: Tensor | None = None) -> Network:
        """The network of an architecture. Raises UserError where its units cannot be followed (`unit_axes`)."""
        return cls(tuple(unit_axes(architecture)), architecture, examples)

    def identity(self) -> Permutations:
        """Every unit is its own counterpart."""
        return tuple(np.arange(group.size) for group in self.groups)

    def relabelled(self, subject: Subject, permutations: Permutations) -> Subject:
        """The subject with its hidden units in another order: the same function, unit for unit."""
        return subject.changed(lambda tensors: permute(tensors, self.groups, permutations))

    def collage(self, subject: Subject, permutations: Mapping[str, Permutations]) -> Subject:
        """The named tensors of a subject, each with the units that it lists in an order of its own.

        No network any more, but tensors: what else the states hold is left out.
        """
        return subject.changed(
            lambda tensors: {
                name: permute({name: tensors[name]}, self.groups, order)[name]
                for name, order in permutations.items()
            }
        )

    def check(self, subjects: Sequence[Subject]) -> None:
        """Raises UserError where a subject's mask does not have the shapes that the groups speak of."""
        for subject in subjects:
            shapes = subject.mask.shapes
            for name, axes in self.axes.items():
                for axis, (group, repeat) in axes.items() if name in shapes else ():
                    size = self.groups[group].size * repeat
                    if axis >= len(shapes[name]) or shapes[name][axis] != size:
                        raise UserError(
                            f"{subject.name}: '{name}' has shape {shapes[name]}, the network lists {size} "
                            f"along axis {axis}"
                        )


def spread(permutation: Permutation, repeat: int) -> Permutation:
    """The permutation of an axis that holds `repeat` positions of each unit, unit by unit."""
    return (permutation[:, None] * repeat + np.arange(repeat)).reshape(-1)


def chain(mask: Mask) -> Network:
    """The network of a mask whose layers are linear and follow one another, in the order of their names.

    Numbers in names count as numbers. Raises UserError where a layer does not read what the one before writes.
    """
    names = sorted(mask, key=in_natural_order)
    groups = []
    for first, second in pairwise(names):
        one, two = mask.shapes[first], mask.shapes[second]
        if len(one) != 2 or len(two) != 2 or one[0] != two[1]:
            raise UserError(
                f"'{second}' of shape {two} does not follow '{first}' of shape {one} in a chain of linear layers"
            )
        bias = f"{first.removesuffix('weight')}bias"
        groups.append(UnitGroup(one[0], ((first, 0, 1), (bias, 0, 1), (second, 1, 1))))
    return Network(tuple(groups))


def in_natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts `l2` before `l10`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
