"""Structures: which weights live or die together.

A new structure is a function of a `Contest` that returns what lives afterwards. It may look across a
tensor (channels, blocks) or across the whole pool; it takes from the living only, the lowest scores first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tombola.registry import Registry

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contest:
    """A pool's tensors, to be left as they are, and how many living weights have to go.

    `scores` and `alive` have the shapes of the weights; scores of living weights are finite. Tensors come
    in sorted order, so that the stream's draws fall the same way in every run.
    """

    scores: Mapping[str, Floats]
    alive: Mapping[str, Bools]
    remove: int
    rng: np.random.Generator


Structure = Callable[[Contest], dict[str, Bools]]

STRUCTURES: Registry[Structure] = Registry("structure")


@STRUCTURES.register("weights")
def weights(contest: Contest) -> dict[str, Bools]:
    """Every weight is a group of its own (unstructured pruning)."""
    living = [contest.scores[name][alive] for name, alive in contest.alive.items()]
    losers = lowest(np.concatenate(living), contest.remove, contest.rng)
    survivors = {}
    ends = np.cumsum([len(scores) for scores in living])
    for (name, alive), lost in zip(contest.alive.items(), np.split(losers, ends[:-1]), strict=True):
        survivors[name] = alive.copy()
        survivors[name][alive] = ~lost
    return survivors


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
