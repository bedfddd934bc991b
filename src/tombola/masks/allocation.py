"""Allocations: how many weights each tensor loses, said as pools of tensors that compete among themselves.

A new allocation is a function of the tensors' dense sizes and their rates that returns pools. Every tensor
is in exactly one pool, so the counts of all pools add up to the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from tombola.errors import UserError, nearest
from tombola.registry import Registry


@dataclass(frozen=True)
class Pool:
    """Tensors whose weights compete for survival; each pruning takes `rate` of those alive in the pool."""

    label: str
    """What the ladder calls it: a tensor's name where it is one tensor."""
    members: tuple[str, ...]
    rate: float


Allocation = Callable[[Mapping[str, int], Mapping[str, float]], tuple[Pool, ...]]

ALLOCATIONS: Registry[Allocation] = Registry("allocation")


@ALLOCATIONS.register("layerwise")
def layerwise(sizes: Mapping[str, int], rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """Each tensor loses its own rate (F19, section 2, for Lenet and Conv-2/4/6)."""
    return tuple(Pool(name, (name,), rates[name]) for name in sorted(sizes))


@ALLOCATIONS.register("global")
def one_pool(sizes: Mapping[str, int], rates: Mapping[str, float]) -> tuple[Pool, ...]:
    """All tensors compete in one pool, but for those of rate 0 (F19, section 4, for Resnet-18, VGG-19)."""
    shared = tuple(name for name in sorted(sizes) if rates[name])
    found = sorted({rates[name] for name in shared})
    if len(found) > 1:
        low, high = (next(name for name in shared if rates[name] == rate) for rate in (found[0], found[-1]))
        raise UserError(
            f"global allocation takes one rate, found {found[0]} for '{low}' and {found[-1]} for '{high}'; "
            "expected equal rates, or 0 for tensors to leave dense"
        )
    pools = tuple(Pool(name, (name,), 0.0) for name in sorted(sizes) if not rates[name])
    return (Pool("global", shared, found[0]), *pools) if shared else pools


def pools_of(sizes: Mapping[str, int], rates: Mapping[str, float], allocation: str) -> tuple[Pool, ...]:
    """The pools of the tensors in `sizes`. Raises UserError for a missing rate or one outside [0, 1)."""
    for name in sizes:
        if name not in rates:
            raise UserError(f"pruning rates lack '{name}'{nearest(name, rates)}")
        if not 0 <= rates[name] < 1:
            raise UserError(f"pruning rate of '{name}' is {rates[name]}, expected 0 to below 1")
    return ALLOCATIONS[allocation](sizes, {name: rates[name] for name in sizes})


def removals(alive: int, rate: float) -> int:
    """floor(rate * alive + 1/2), exact for the rate as it is written: 0.29 of 50 is 14.5, so 15."""
    return math.floor(Fraction(str(rate)) * alive + Fraction(1, 2))


def ladder(
    sizes: Mapping[str, int], rates: Mapping[str, float], allocation: str, levels: int
) -> list[dict[str, int]]:
    """Weights alive in each pool at levels 0 to `levels`, worked out without training anything.

    A pool is a tensor under its name, or "global"; the values of a level add up to all that lives, so their
    sum over the sum of `sizes` is the density. Raises UserError, naming pool and level, for a ladder that
    would leave a pool empty. That a tensor within a global pool runs empty cannot be known here.
    """
    pools = pools_of(sizes, rates, allocation)
    rungs = [{pool.label: sum(sizes[name] for name in pool.members) for pool in pools}]
    for level in range(1, levels + 1):
        alive = {
            pool.label: rungs[-1][pool.label] - removals(rungs[-1][pool.label], pool.rate) for pool in pools
        }
        for pool in pools:
            if alive[pool.label] == 0 < rungs[-1][pool.label]:
                raise UserError(
                    f"level {level} would remove the last weights of '{pool.label}' "
                    f"({rungs[-1][pool.label]} left, rate {pool.rate}); expected fewer levels or a lower rate"
                )
        rungs.append(alive)
    return rungs
