"""Donors: ladders without arms, whose tickets lend their structure to the tickets of other replicates.

Recipient r takes from donor r (mod D) of D. Recipients are never donors, so that replicates stay independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tombola.alignment.network import Permutations
from tombola.masks.mask import Mask
from tombola.models.state import State


@dataclass(frozen=True)
class Donor:
    """What a ladder lends at a level: its ticket's mask, what that ticket starts from, its trained dense network."""

    mask: Mask
    start: State
    dense: State


@dataclass(frozen=True)
class Lent:
    """What one recipient may take at one level; a ladder that has ended lends None."""

    pool: Sequence[Donor | None]
    """All donors, the recipient's own one first."""
    twin: Donor | None = None
    """A ladder from the recipient's own start, trained with other noise (the order of the examples)."""
    matchings: dict[int, Permutations] = field(default_factory=dict)
    """Place in the pool -> which unit of that dense network is the counterpart of which of the recipient's. It is the
    same at every level, so the levels share it."""

    scrambled: dict[tuple[int, int], tuple[Mask, Mask]] = field(default_factory=dict)
    """(Draw, place in the pool) -> the mask of that donor scrambled with its dense network, and that mask aligned: the
    arms of a level share them."""


Lends = Callable[[int, int], Lent]
"""Replicate and level -> what its arms may take."""


class LadderEndedError(Exception):
    """A donor has no ticket at this level: the cell that was to take from it counts as collapsed."""
