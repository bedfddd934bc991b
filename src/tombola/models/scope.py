"""How much of a network can be pruned, and what is left out of it: density speaks of that part alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod

NAMED = 3
"""How many of the parameters that are not prunable are named."""


@dataclass(frozen=True)
class Scope:
    """Sizes of the parameters of a network, by name, and which of them are prunable."""

    shapes: Mapping[str, tuple[int, ...]]
    names: Collection[str]

    @property
    def prunable(self) -> int:
        """How many numbers the prunable parameters hold."""
        return sum(prod(self.shapes[name]) for name in self.names)

    @property
    def parameters(self) -> int:
        """How many numbers all parameters hold; shared ones count once."""
        return sum(map(prod, self.shapes.values()))

    @property
    def others(self) -> dict[str, int]:
        """Name -> size of the parameters that are not prunable, largest first."""
        sizes = {name: prod(shape) for name, shape in self.shapes.items() if name not in self.names}
        return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))

    @property
    def is_small(self) -> bool:
        """Whether less than half of the network is prunable."""
        return 2 * self.prunable < self.parameters

    def __str__(self) -> str:
        """`20,352 of 86,016 parameters are prunable`."""
        return f"{self.prunable:,} of {self.parameters:,} parameters are prunable"

    def largest_others(self) -> str:
        """`lstm.weight_hh_l0 (65,536) and fc.bias (10)`, of those that are not prunable; empty where all are."""
        named = [f"{name} ({size:,})" for name, size in list(self.others.items())[:NAMED]]
        rest = len(self.others) - len(named)
        named += [f"{rest} smaller one{'s' * (rest > 1)}"] if rest else []
        return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)

    def warning(self) -> str | None:
        """The sentence to say where less than half is prunable, with what would opt the largest matrices in."""
        if not self.is_small:
            return None
        matrices = [name for name in self.others if len(self.shapes[name]) > 1][:NAMED]
        names = ", ".join(f'"{name}"' for name in matrices)
        advice = f"; [model] prune = [{names}] would opt the largest matrices in" if matrices else ""
        return (
            f"only {self}, so that densities speak of a small part of this network; "
            f"the largest that are not are {self.largest_others()}{advice}"
        )
