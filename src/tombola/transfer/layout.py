"""Which parts of a network can be repeated or left out: units, stage by stage, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tombola.errors import UserError
from tombola.models.vgg import GROUPS

Shapes = Mapping[str, tuple[int, ...]]
BLOCK = re.compile(r"stage(\d+)\.(\d+)\.(.+)")
LAYER = re.compile(r"(conv|norm|fc)(\d+)\.(.+)")
KINDS = ("conv", "norm", "fc")
Place = tuple[int, int]
"""Of a unit: its stage and its place in it, from 0."""


@dataclass(frozen=True)
class Layout:
    """The units of a network by stage: of each the names of its tensors, by what they are called within a unit.

    The first unit of a stage is unlike the others: it changes width or size of what goes through it.
    """

    stages: tuple[tuple[Mapping[str, str], ...], ...]
    rest: frozenset[str]
    """What belongs to no unit: stem, classifier."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many units each stage has."""
        return tuple(map(len, self.stages))


def layout_of(shapes: Shapes, called: str) -> Layout:
    """The layout of a network with tensors of these names and shapes (all of its state): residual blocks
    (`stage1.0.conv1.weight`), convolutions each with its batch norm in the groups of a VGG (`conv3.weight`,
    `norm3.bias`), or hidden layers of one width in a row (`fc2.weight`).

    Raises UserError, with the name that the network is `called`, for any other.
    """
    if any(BLOCK.fullmatch(name) for name in shapes):
        return _arranged(
            shapes,
            {
                name: ((int(found[1]) - 1, int(found[2])), found[3])
                for name in shapes
                if (found := BLOCK.fullmatch(name))
            },
        )
    layers = {name: found for name in shapes if (found := LAYER.fullmatch(name))}
    numbers = {
        kind: sorted({int(found[2]) for found in layers.values() if found[1] == kind}) for kind in KINDS
    }
    if numbers["fc"] and not numbers["conv"]:
        where = _runs([shapes[f"fc{number}.weight"] for number in numbers["fc"]])
    elif numbers["conv"] and numbers["conv"] == numbers["norm"] and not numbers["fc"]:
        groups = next((each for each in GROUPS.values() if sum(each) == len(numbers["conv"])), ())
        where = [(stage, place) for stage, count in enumerate(groups) for place in range(count)]
    else:
        where = []
    if not where:
        raise UserError(
            f"'{called}' has no units that can be repeated or left out, expected a residual network, a VGG or hidden "
            "layers alone"
        )
    first = min(numbers["fc"] or numbers["conv"])
    return _arranged(
        shapes,
        {name: (where[int(found[2]) - first], f"{found[1]}.{found[3]}") for name, found in layers.items()},
    )


def _runs(shapes: Iterable[tuple[int, ...]]) -> list[Place]:
    """The stage and place of each hidden layer [outputs, inputs]: one as wide as the layer before it is in its
    stage."""
    places: list[Place] = []
    for outputs, inputs in shapes:
        stage, place = places[-1] if places else (-1, 0)
        places.append((stage, place + 1) if places and outputs == inputs else (stage + 1, 0))
    return places


def _arranged(shapes: Shapes, units: Mapping[str, tuple[Place, str]]) -> Layout:
    """The layout, from the place and the name within its unit of each tensor that is in one."""
    stages: dict[int, dict[int, dict[str, str]]] = {}
    for name, ((stage, place), within) in units.items():
        stages.setdefault(stage, {}).setdefault(place, {})[within] = name
    ordered = tuple(
        tuple(stages[stage][place] for place in sorted(stages[stage])) for stage in sorted(stages)
    )
    return Layout(ordered, frozenset(shapes) - frozenset(units))
