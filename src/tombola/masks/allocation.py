"""Allocations: how much each tensor loses, in pools of tensors.

A new allocation is a function of the tensors' shapes and rates that returns pools, registered under its name. Every
tensor is in exactly one pool, so the counts of all pools add up to the network. What is counted are the groups of
the structure: single weights, unless it says otherwise. `like:TICKET` stands for a family: `like:` and the layers of
some ticket, as `allocation_like` writes them down (in study files also the path of the ticket).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from tombola.errors import UserError, nearest
from tombola.masks.mask import Mask
from tombola.registry import Registry

Shapes = Mapping[str, tuple[int, ...]]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Pool:
    """Tensors that together lose `rate` of what lives in them at each pruning.

    The lowest scores among all weights of the pool go or, where `densities` are given, how many go of each tensor is
    fixed beforehand: the densities of the members are in these proportions, none above 1.
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

ALLOCATIONS: Registry[Callable[..., tuple[Pool, ...]]] = Registry("allocation")


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
    return _together("uniform", shapes, rates, lambda name: Fraction(1))


@ALLOCATIONS.register("erk")
def erdos_renyi_kernel(shapes: Shapes, rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """Densities go as the sum of a tensor's sides over their product, at most 1 (ERK: Evci et al. 2020, section 3)."""
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise UserError(f"erk allocation needs the sides of '{name}', found the shape {shape}")
    return _together("erk", shapes, rates, lambda name: Fraction(sum(shapes[name]), math.prod(shapes[name])))


LIKE = "like:"


@ALLOCATIONS.register("like:TICKET")
def like(shapes: Shapes, rates: Mapping[str, float], densities: Mapping[str, Fraction]) -> tuple[Pool, ...]:
    """Densities go as those of another ticket's layers, at most 1 (after Frankle et al. 2021, on layer proportions).

    Where as many weights are left in all as that ticket has in these layers, each layer has just its count. Layers that
    the ticket has and the network has not do not count.
    """
    for name in shapes:
        if rates[name] and not densities.get(name):
            found = "has no weights of it" if name in densities else "lacks it"
            raise UserError(
                f"like allocation is to prune '{name}' as a ticket that {found}{nearest(name, densities)}"
            )
    return _together("like", shapes, rates, lambda name: densities[name])


def allocation_like(mask: Mask) -> str:
    """The name of the allocation that shares weights out as this mask does: `like:` and what each layer has alive."""
    return LIKE + ",".join(f"{name}={mask.count(name)}/{mask.size(name)}" for name in mask)


def allocation(name: str) -> Allocation:
    """The allocation of a name. Raises UserError, with the nearest, for an unknown one."""
    if not name.startswith(LIKE):
        return ALLOCATIONS[name]
    densities = {}
    for entry in name.removeprefix(LIKE).split(","):
        found = re.fullmatch(r"(.+)=([0-9]+)/([1-9][0-9]*)", entry)
        if not found or int(found[2]) > int(found[3]):
            raise UserError(
                f"allocation '{name}': '{entry}' is no layer=alive/size; expected what allocation_like(mask) gives "
                "(or, in a study, a ticket's path)"
            )
        densities[found[1]] = Fraction(int(found[2]), int(found[3]))
    return partial(like, densities=densities)


def _together(
    label: str,
    shapes: Shapes,
    rates: Mapping[str, float],
    density: Callable[[str], Fraction] | None = None,
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
    densities = {name: density(name) for name in members} if density else None
    return (Pool(label, members, found[0], densities), *alone)


def pools_of(shapes: Shapes, rates: Mapping[str, float], kind: str) -> tuple[Pool, ...]:
    """The pools of the tensors in `shapes`. Raises UserError for a missing rate or one outside [0, 1)."""
    for name in shapes:
        if name not in rates:
            raise UserError(f"pruning rates lack '{name}'{nearest(name, rates)}")
        if not 0 <= rates[name] < 1:
            raise UserError(f"pruning rate of '{name}' is {rates[name]}, expected 0 to below 1")
    return allocation(kind)(shapes, {name: rates[name] for name in shapes})


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
