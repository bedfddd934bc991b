"""What the ladders beside a run lend to its arms, read from disk when an arm asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

from tombola.alignment.network import Permutations
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.arms.donors import Donor, Lent
from tombola.lottery.cell import Cell
from tombola.models.state import State
from tombola.runs.folder import Ladders

RECIPIENTS = 64
"""Replicates at a level for which what arms worked out is kept."""


class Lender:
    """The lottery's `Lends`: what replicate r may take at a level. Its own donor is r (mod D) of D, its twin is r."""

    def __init__(self, ladders: Sequence[Ladders]) -> None:
        self._of = {each.kind: each for each in ladders}
        self._matchings: dict[int, dict[int, Permutations]] = {}
        self._state = cache(self._read_state)
        self._donor = cache(self._read_donor)
        self._lent = lru_cache(RECIPIENTS)(self._lend)

    def __call__(self, replicate: int, level: int) -> Lent:
        """Arms of one replicate and level are handed the same, so that what one works out serves the others."""
        return self._lent(replicate, level)

    def _lend(self, replicate: int, level: int) -> Lent:
        donors, twins = self._of["donors"], self._of.get("twins")
        count = donors.study.donors
        return Lent(
            pool=[self._donor(donors, (replicate + place) % count, level) for place in range(count)],
            twin=self._donor(twins, replicate, level) if twins else None,
            matchings=self._matchings.setdefault(replicate, {}),
        )

    def _read_donor(self, ladders: Ladders, number: int, level: int) -> Donor | None:
        """One ladder at a level; None where it has ended."""
        cell = Cell(number, level, TICKET, 0)
        if level > ladders.study.levels or not ladders.has(cell) or ladders.record(cell).status != "ok":
            return None
        start = ladders.record(cell).start
        assert start is not None, "a study whose arms take from donors keeps their weights"
        return Donor(ladders.mask(cell), self._state(ladders, start.digest), self._state(ladders, number))

    def _read_state(self, ladders: Ladders, which: str | int) -> State:
        """A start by its digest; of a number, where that ladder's dense network ended."""
        if isinstance(which, str):
            return ladders.start_weights(which)
        return ladders.weights(Cell(which, 0, TICKET, 0), "end")
