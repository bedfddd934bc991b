"""Structures: which weights live or die together.

A new structure is a function, registered under its name, that returns a `Structure`: the group of every weight.
That of a family is called with the numbers in a name: "N:M" makes "2:4" and all others of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tombola.errors import UserError, nearest
from tombola.registry import Registry

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Structure:
    """A partition of a tensor's weights into groups.

    Where `most` is None the groups compete and die whole; what an allocation counts are groups, alive while one of
    their weights is. Where it is a number, the weights compete within their group and at most so many of each live:
    such a structure has a density of its own, and what an allocation counts are weights.
    """

    groups: Callable[[Shape], Ints]
    """The number of each weight's group, in C order: 0, 1, ... without a gap."""
    most: int | None = None

    def count(self, alive: Bools) -> int:
        """How many live, of what an allocation counts: groups, or weights where groups have a quota."""
        return int(alive.sum()) if self.most is not None else int(np.count_nonzero(self._living(alive)))

    def ratio(self, alive: Bools) -> int:
        """How many weights live when every group is down to its quota."""
        living = self._living(alive)
        return int(living.sum() if self.most is None else np.minimum(living, self.most).sum())

    def survivors(
        self, scores: Mapping[str, Floats], alive: Mapping[str, Bools], remove: int, rng: np.random.Generator
    ) -> dict[str, Bools]:
        """What lives once the `remove` lowest of some tensors' living groups are gone; operands stay as they are.

        Scores of living weights are finite. A group scores the mean of its living weights: for magnitudes that is the
        L1 norm by which filters are ranked (Li et al. 2017, section 3.1), divided by the size so that groups of
        unlike tensors can compete; and unlike a norm it keeps the sense of criteria whose scores are negative.
        With a quota every group goes down to it, and `remove` must be what that takes (see `ratio`).
        """
        if remove == 0:
            return {name: living.copy() for name, living in alive.items()}
        if self.most is not None:
            return {name: self._down_to_quota(scores[name], alive[name], rng) for name in alive}
        groups = {name: self.groups(living.shape)[living.reshape(-1)] for name, living in alive.items()}
        means = {name: _means(groups[name], scores[name][living]) for name, living in alive.items()}
        living_groups = {name: ~np.isnan(mean) for name, mean in means.items()}
        rivals = [means[name][living] for name, living in living_groups.items()]
        losers = lowest(np.concatenate(rivals), remove, rng)
        survivors = {}
        for name, lost in zip(alive, np.split(losers, np.cumsum([len(r) for r in rivals])[:-1]), strict=True):
            falls = np.zeros(len(means[name]), dtype=np.bool_)
            falls[living_groups[name]] = lost
            survivors[name] = alive[name].copy()
            survivors[name][alive[name]] = ~falls[groups[name]]
        return survivors

    def _living(self, alive: Bools) -> Ints:
        """Living weights of each group that has any."""
        living = np.bincount(self.groups(alive.shape)[alive.reshape(-1)])
        return living[living > 0]

    def _down_to_quota(self, scores: Floats, alive: Bools, rng: np.random.Generator) -> Bools:
        groups = self.groups(alive.shape)[alive.reshape(-1)]
        # Group by group, each from its lowest score up; equal scores of a group are drawn.
        order = np.lexsort((rng.random(len(groups)), scores[alive], groups))
        sizes = np.bincount(groups)
        ends = np.cumsum(sizes)[groups[order]]
        stays = np.empty(len(groups), dtype=np.bool_)
        stays[order] = np.arange(len(groups)) >= ends - (self.most or 0)
        survivors = alive.copy()
        survivors[alive] = stays
        return survivors


STRUCTURES: Registry[Callable[..., Structure]] = Registry("structure")


def structure(name: str) -> Structure:
    """The structure of a name such as "channels" or "2:4". Raises UserError, with the nearest, for an unknown one."""
    match = STRUCTURES.match(name)
    if match is None:
        raise UserError(f"unknown structure '{name}'{nearest(name, STRUCTURES.examples)}")
    make, numbers = match
    return make(*numbers)


@STRUCTURES.register("weights")
def weights() -> Structure:
    """Every weight is a group of its own: unstructured pruning (Han et al. 2015)."""
    return Structure(lambda shape: np.arange(math.prod(shape)))


@STRUCTURES.register("channels")
def channels() -> Structure:
    """A unit or output channel with all its incoming weights is a group: filter pruning (Li et al. 2017).

    Rows of the first axis; in a transposed convolution that is an input channel with its outgoing weights.
    """
    return Structure(lambda shape: np.repeat(np.arange(shape[0]), math.prod(shape[1:])))


@STRUCTURES.register("block-HxW", example="block-4x4")
def blocks(height: int, width: int) -> Structure:
    """Blocks of H outputs by W of the inputs (channel by kernel), smaller at the edges (Narang et al. 2017)."""

    def groups(shape: Shape) -> Ints:
        rows, columns = shape[0], math.prod(shape[1:])
        across = -(-columns // width)
        return (np.arange(rows)[:, None] // height * across + np.arange(columns) // width).reshape(-1)

    return Structure(groups)


@STRUCTURES.register("N:M", example="2:4")
def n_of_m(n: int, m: int) -> Structure:
    """At most N of each M consecutive inputs (channel by kernel) of a unit live (Mishra et al. 2021)."""
    if n >= m:
        raise UserError(f"structure '{n}:{m}' removes nothing, expected fewer living weights than weights")
    return Structure(blocks(1, m).groups, most=n)


def lowest(scores: Floats, number: int, rng: np.random.Generator) -> Bools:
    """True at exactly `number` lowest of the 1-D scores; the stream draws among those equal at the border."""
    if number == 0:
        return np.zeros(len(scores), dtype=np.bool_)
    border = np.partition(scores, number - 1)[number - 1]
    chosen: Bools = scores < border
    tied = np.flatnonzero(scores == border)
    wanted = number - int(chosen.sum())
    # Tie-break: drawn rather than first come, which would prune all-equal scores from one corner.
    chosen[tied if wanted == len(tied) else rng.choice(tied, wanted, replace=False, shuffle=False)] = True
    return chosen


def _means(groups: Ints, scores: Floats) -> Floats:
    """Mean score of each group, NaN where none of its weights live."""
    sums, counts = np.bincount(groups, weights=scores), np.bincount(groups)
    means: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means
