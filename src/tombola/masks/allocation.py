"""Allocations: how much each tensor loses, said as pools of tensors.

A new allocation is a function of the tensors' shapes and rates that returns pools, registered under its name. Every
tensor is in exactly one pool, so the counts of all pools add up to the network. What is counted are the groups of
the structure: single weights, unless it says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from tombola.errors import UserError, nearest
from tombola.registry import Registry

Shapes = Mapping[str, tuple[int, ...]]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Pool:
    """Tensors that together lose `rate` of what lives in them at each pruning.

    Who loses how much of it is fought out by score among all weights of the pool or, where `densities` are given,
    decided beforehand: the densities of the members are in these proportions, none above 1.
    """

    label: str
    """What the ladder calls it: a tensor's name where it is one tensor."""
    members: tuple[str, ...]
    rate: float
    densities: Mapping[str, Fraction] | None = None

    @property
    def contests(self) -> dict[str, tuple[str, ...]]:
        """Label -> tensors whose weights compete: the pool as one, or each member for itself."""
        if self.densities is None:
            return {self.label: self.members}
        return {name: (name,) for name in self.members}

    def keep(self, dense: Counts, alive: Counts) -> dict[str, int]:
        """How many stay in each contest when the pool has lost its rate.

        `dense` has what there is in each tensor, `alive` what lives in each contest. Raises UserError when a tensor
        would have to keep more than lives in it.
        """
        total = sum(alive[label] for label in self.contests)
        total -= removals(total, self.rate)
        if self.densities is None:
            return {self.label: total}
        return _shared(total, self.label, self.densities, dense, alive)


Allocation = Callable[[Shapes, Mapping[str, float]], tuple[Pool, ...]]

ALLOCATIONS: Registry[Allocation] = Registry("allocation")


@ALLOCATIONS.register("layerwise")
def layerwise(shapes: Shapes, rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """Each tensor loses its own rate (Frankle & Carbin 2019, section 2, for Lenet and Conv-2/4/6)."""
    return tuple(Pool(name, (name,), rates[name]) for name in sorted(shapes))


@ALLOCATIONS.register("global")
def one_pool(shapes: Shapes, rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """All tensors compete in one pool, but for those of rate 0 (Frankle & Carbin 2019, section 4)."""
    return _together("global", shapes, rates)


@ALLOCATIONS.register("uniform")
def uniform(shapes: Shapes, rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """All tensors have one density, but for those of rate 0, which stay dense (Evci et al. 2020, section 3)."""
    return _together("uniform", shapes, rates, lambda shape: Fraction(1))


@ALLOCATIONS.register("erk")
def erdos_renyi_kernel(shapes: Shapes, rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """Densities go as the sum of a tensor's sides over their product, at most 1 (ERK: Evci et al. 2020, section 3)."""
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise UserError(f"erk allocation needs the sides of '{name}', found the shape {shape}")
    return _together("erk", shapes, rates, lambda shape: Fraction(sum(shape), math.prod(shape)))


def _together(
    label: str,
    shapes: Shapes,
    rates: Mapping[str, float],
    density: Callable[[tuple[int, ...]], Fraction] | None = None,
) -> tuple[Pool, ...]:
    """One pool of all tensors; those of rate 0 stay out, each in a pool of its own."""
    members = tuple(name for name in sorted(shapes) if rates[name])
    found = sorted({rates[name] for name in members})
    if len(found) > 1:
        low, high = (next(name for name in members if rates[name] == rate) for rate in (found[0], found[-1]))
        raise UserError(
            f"{label} allocation takes one rate, found {found[0]} for '{low}' and {found[-1]} for '{high}'; "
            "expected equal rates, or 0 for tensors to leave dense"
        )
    alone = tuple(Pool(name, (name,), 0.0) for name in sorted(shapes) if not rates[name])
    if not members:
        return alone
    densities = {name: density(shapes[name]) for name in members} if density else None
    return (Pool(label, members, found[0], densities), *alone)


def pools_of(shapes: Shapes, rates: Mapping[str, float], allocation: str) -> tuple[Pool, ...]:
    """The pools of the tensors in `shapes`. Raises UserError for a missing rate or one outside [0, 1)."""
    for name in shapes:
        if name not in rates:
            raise UserError(f"pruning rates lack '{name}'{nearest(name, rates)}")
        if not 0 <= rates[name] < 1:
            raise UserError(f"pruning rate of '{name}' is {rates[name]}, expected 0 to below 1")
    return ALLOCATIONS[allocation](shapes, {name: rates[name] for name in shapes})


def removals(alive: int, rate: float) -> int:
    """floor(rate * alive + 1/2), exact for the rate as it is written: 0.29 of 50 is 14.5, so 15."""
    return math.floor(Fraction(str(rate)) * alive + Fraction(1, 2))


def _shared(
    total: int, label: str, densities: Mapping[str, Fraction], dense: Counts, alive: Counts
) -> dict[str, int]:
    """`total` shared out so that densities are in proportion: rounded down, then one more for the largest remainders.

    Fractions, so that a share that is whole stays whole. A tensor that lives as far as its rounded-down share gets no
    more: counts never rise from one pruning to the next, though remainders come and go.
    """
    shares = _shares(total, densities, dense)
    counts = {name: math.floor(share) for name, share in shares.items()}
    for name, count in counts.items():
        if count > alive[name]:
            raise UserError(
                f"{label} allocation asks '{name}' to keep {count}, but only {alive[name]} live there; "
                "expected a mask that this allocation has pruned so far, or a higher rate"
            )
    for _ in range(total - sum(counts.values())):
        able = [name for name in counts if counts[name] < alive[name]]
        counts[max(able, key=lambda name: shares[name] - counts[name])] += 1
    return counts


def _shares(total: int, densities: Mapping[str, Fraction], dense: Counts) -> dict[str, Fraction]:
    """The exact shares: what tensors that would exceed density 1 cannot take goes to the others."""
    full: set[str] = set()
    while True:
        rest = [name for name in densities if name not in full]
        left = total - sum(dense[name] for name in full)
        scale = left / sum((densities[name] * dense[name] for name in rest), Fraction(0))
        over = {name for name in rest if scale * densities[name] > 1}
        if not over:
            return {
                name: Fraction(dense[name]) if name in full else scale * densities[name] * dense[name]
                for name in densities
            }
        full |= over
