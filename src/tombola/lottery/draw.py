"""The lottery: train, prune, rewind, repeat (Frankle & Carbin 2019, section 2, Strategy 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tombola.lottery.arms import CONTINUED, TICKET, Arm
from tombola.lottery.cell import Cell, Drawn, Train, level_cells
from tombola.lottery.rewind import rewind_point
from tombola.lottery.scene import Scene
from tombola.masks import CRITERIA, Mask, Probing, PruneRule, prune, prune_to
from tombola.models import Architecture, State
from tombola.seeds import Seeds
from tombola.training import Start

Mode = Literal["iterative", "continued", "one-shot", "at-init"]

MODES: Mapping[Mode, str] = {
    "iterative": "the ticket of the level before is pruned: Strategy 1 (Frankle & Carbin 2019, App. B)",
    "continued": "what is pruned is trained on and on and never reset: Strategy 2 (Frankle & Carbin 2019, App. B)",
    "one-shot": "the trained dense network is pruned once, to every level (Frankle & Carbin 2019, 2)",
    "at-init": "the untrained network is pruned once, to every level (Lee et al. 2019)",
}
"""When masks are made."""


@dataclass(frozen=True)
class Lottery:
    """What is drawn: an architecture, a way to prune it, how far, and the arms trained beside each ticket.

    `rates` are per prunable tensor; `alive` is the exact ladder, pool -> weights alive, one entry a level;
    `rewind` is the iteration that weights go back to; `arms(level)` lists (name, draws) of the controls;
    `probing(replicate)` is for criteria that look at the network and its data.
    """

    architecture: Architecture
    rule: PruneRule
    rates: Mapping[str, float]
    alive: Sequence[Mapping[str, int]]
    rewind: int
    mode: Mode
    arms: Callable[[int], Sequence[tuple[str, int]]]
    treatments: Mapping[str, Arm]
    probing: Callable[[int], Probing] | None = None

    @property
    def levels(self) -> int:
        """The last level; 0 is dense."""
        return len(self.alive) - 1

    def cells(self, replicate: int, level: int) -> list[Cell]:
        """The cells of one replicate at one level, the ticket first."""
        return level_cells(replicate, level, self.arms(level))

    def pruned(self, r: int, seeds: Seeds, level: int, mask: Mask, initial: State, trained: State) -> Mask:
        """The mask of replicate r at a level, from the one a level above and the weights it ended with."""
        asks = self.probing is not None and CRITERIA.needs(self.rule.criterion).probe
        probe, ties = self.probing(r) if self.probing and asks else None, seeds.stream("ties", level)
        if self.mode in ("iterative", "continued"):
            return prune(mask, initial, trained, self.rates, self.rule, ties, probe)
        scored = initial if self.mode == "at-init" else trained
        dense = Mask.dense(mask.shapes)
        return prune_to(dense, initial, scored, self.alive[level], self.rates, self.rule, ties, probe)


def draw(lottery: Lottery, replicates: Mapping[int, Seeds], train: Train) -> Iterator[Mapping[Cell, Drawn]]:
    """Draw the tickets of all replicates side by side, level by level; yields the cells of each level.

    A replicate whose ticket collapses or diverges ends its ladder there; the others go on.
    """
    architecture = lottery.architecture
    initial = {r: architecture.initial(seeds.stream("init")) for r, seeds in replicates.items()}
    dense = Mask.dense({name: architecture.shapes[name] for name in architecture.prunable})
    masks, rewound = dict.fromkeys(replicates, dense), dict(initial)
    trained: dict[int, State] = {}

    for level in range(lottery.levels + 1):
        if level > 0:
            for r in masks:
                masks[r] = lottery.pruned(r, replicates[r], level, masks[r], initial[r], trained[r])

        def begin(cell: Cell) -> Start:
            r, seeds = cell.replicate, replicates[cell.replicate]
            scene = Scene(
                architecture=architecture,
                mask=masks[r],
                rewound=rewound[r],
                rates=lottery.rates,
                seeds=seeds,
                level=cell.level,
                draw=cell.draw,
                initial=initial[r],
                trained=trained.get(r),
                partner=masks.get(partner_of(r)),
            )
            arm = lottery.treatments[cell.arm] if cell.level else Arm()  # dense, there is nothing to treat
            mask, state, dead = arm.treat(scene)
            return Start(state, mask, seeds, cell.level, lottery.rewind if cell.level else 0, dead)

        drawn = train([cell for r in masks for cell in lottery.cells(r, level)], begin)
        goes_on = CONTINUED if lottery.mode == "continued" and level else TICKET
        for r in list(masks):
            ends = [drawn[Cell(r, level, arm, 0)] for arm in (TICKET, goes_on)]
            if any(end.status != "ok" or end.trained is None for end in ends):
                del masks[r]
                continue
            source = ends[-1].trained
            assert source is not None
            if level == 0:
                rewound[r] = rewind_point(lottery.rewind, initial[r], source)
            if level == 0 or lottery.mode in ("iterative", "continued"):
                trained[r] = last_lived(masks[r], source.end, trained.get(r, {}))
        yield drawn


def partner_of(replicate: int) -> int:
    """The replicate that swaps masks with this one: 0 and 1, 2 and 3, ..."""
    return replicate ^ 1


def last_lived(mask: Mask, end: State, before: State) -> State:
    """A trained state, with the value that each weight ended its last training with while it lived.

    In `end` dead weights tell nothing; `before` is what this returned a level earlier.
    """
    lived = {name: torch.where(mask[name], end[name], before.get(name, end[name])) for name in mask}
    return {**end, **lived}
