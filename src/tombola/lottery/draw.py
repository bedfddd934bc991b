"""The lottery: train, prune, rewind, repeat (Frankle & Carbin 2019, section 2, Strategy 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tombola.lottery.cell import Cell, Drawn, Train
from tombola.lottery.climb import Climb
from tombola.lottery.lottery import Lottery
from tombola.seeds import Seeds


def draw(lottery: Lottery, replicates: Mapping[int, Seeds], train: Train) -> Iterator[Mapping[Cell, Drawn]]:
    """Draw the tickets of all replicates side by side, level by level; yields the cells of each level.

    A replicate whose ticket, or the search for it, collapses or diverges ends its ladder there; the others go on. So
    does an arm that has a ladder of its own.
    """
    climb = Climb(lottery, replicates)
    for level in range(lottery.levels + 1):
        sought = climb.prune(level, train)  # nothing to prune at level 0, which is dense
        drawn = train(climb.cells(level), climb.begin)  # each from rewound weights, as its arm treats them
        climb.note(level, drawn)
        yield {**sought, **drawn}
