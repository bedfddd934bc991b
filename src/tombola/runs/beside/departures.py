"""What routes take from the sources beside a run, read from disk when an arm asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.arms.donors import LadderEndedError
from tombola.lottery.cell import Cell
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.runs.beside.copies import rewound
from tombola.runs.folder import Ladders
from tombola.study.ladders import called

KEPT = 64
"""Tickets that are kept in memory: arms of one replicate and level follow each other."""


class Departures:
    """A route's `Read`: replicate r takes from ladder r (mod n) of the n of a source."""

    def __init__(self, ladders: Sequence[Ladders]) -> None:
        self._of = {each.kind: each for each in ladders}
        self._read = lru_cache(KEPT)(self._ticket)

    def __call__(self, source: str, replicate: int, level: int) -> Sequence[Ticket]:
        ladders = self._of[called(source)]
        return self._read(source, replicate % ladders.study.replicates, level)

    def _ticket(self, source: str, number: int, level: int) -> Sequence[Ticket]:
        ladders = self._of[called(source)]
        cell = Cell(number, level, TICKET, 0)
        if not ladders.has(cell) or ladders.record(cell).status != "ok":
            raise LadderEndedError
        ticket, dense = ladders.ticket(cell), ladders.ticket(Cell(number, 0, TICKET, 0))
        whole = Ticket(Mask.dense(ticket.mask.shapes), rewound(ladders, number), dense.end, dense.provenance)
        return ticket, whole
