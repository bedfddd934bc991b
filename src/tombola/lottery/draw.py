"""The lottery: train, prune, rewind, repeat (Frankle & Carbin 2019, section 2, Strategy 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tombola.lottery.arms import TICKET, Arm, Scene
from tombola.lottery.cell import Cell, Drawn, Train, level_cells
from tombola.lottery.rewind import rewind_point
from tombola.masks import Mask, PruneRule, prune, prune_to
from tombola.models import Architecture, State
from tombola.seeds import Seeds
from tombola.training import Start


@dataclass(frozen=True)
class Lottery:
    """What is drawn: an architecture, a way to prune it, how far, and the arms trained beside each ticket.

    `rates` are per prunable tensor; `alive` is the exact ladder, pool -> weights alive, one entry a level;
    `rewind` is the iteration that weights go back to; `arms(level)` lists (name, draws) of the controls.
    """

    architecture: Architecture
    rule: PruneRule
    rates: Mapping[str, float]
    alive: Sequence[Mapping[str, int]]
    rewind: int
    one_shot: bool
    arms: Callable[[int], Sequence[tuple[str, int]]]
    treatments: Mapping[str, Arm]

    @property
    def levels(self) -> int:
        """The last level; 0 is dense."""
        return len(self.alive) - 1

    def cells(self, replicate: int, level: int) -> list[Cell]:
        """The cells of one replicate at one level, the ticket first."""
        return level_cells(replicate, level, self.arms(level))


def draw(lottery: Lottery, replicates: Mapping[int, Seeds], train: Train) -> Iterator[Mapping[Cell, Drawn]]:
    """Draw the tickets of all replicates side by side, level by level; yields the cells of each level.

    A replicate whose ticket collapses or diverges ends its ladder there; the others go on.
    """
    architecture, rule = lottery.architecture, lottery.rule
    initial = {r: architecture.initial(seeds.stream("init")) for r, seeds in replicates.items()}
    dense = Mask.dense({name: architecture.shapes[name] for name in architecture.prunable})
    masks, rewound = dict.fromkeys(replicates, dense), dict(initial)
    trained: dict[int, State] = {}

    for level in range(lottery.levels + 1):
        if level > 0:
            for r in masks:
                rng = replicates[r].stream("ties", level)
                if lottery.one_shot:
                    counts = lottery.alive[level]
                    masks[r] = prune_to(dense, initial[r], trained[r], counts, lottery.rates, rule, rng)
                else:
                    masks[r] = prune(masks[r], initial[r], trained[r], lottery.rates, rule, rng)

        def begin(cell: Cell) -> Start:
            r, seeds = cell.replicate, replicates[cell.replicate]
            scene = Scene(architecture, masks[r], rewound[r], lottery.rates, seeds, cell.level, cell.draw)
            mask, state, dead = lottery.treatments[cell.arm].treat(scene)
            return Start(state, mask, seeds, cell.level, lottery.rewind if cell.level else 0, dead)

        drawn = train([cell for r in masks for cell in lottery.cells(r, level)], begin)
        for r in list(masks):
            ticket = drawn[Cell(r, level, TICKET, 0)]
            if ticket.status != "ok" or ticket.trained is None:
                del masks[r]
            elif level == 0:
                rewound[r] = rewind_point(lottery.rewind, initial[r], ticket.trained)
                trained[r] = ticket.trained.end
            elif not lottery.one_shot:
                trained[r] = ticket.trained.end
        yield drawn
