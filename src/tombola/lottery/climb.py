"""Where each replicate of a lottery stands on its ladder, and what the next level is made from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from tombola.lottery.arms import CONTINUED, TICKET, Arm
from tombola.lottery.cell import Cell, Drawn, Train
from tombola.lottery.lottery import Lottery
from tombola.lottery.own_ladder import OwnLadders
from tombola.lottery.rewind import rewind_point
from tombola.lottery.scene import Rung, Scene
from tombola.masks import Mask
from tombola.models import State
from tombola.seeds import Seeds
from tombola.training import Start


class Climb:
    """The replicates of a lottery that still climb: the mask of each at its level, what its tickets go back to, and
    the weights that its next mask is pruned from."""

    def __init__(self, lottery: Lottery, replicates: Mapping[int, Seeds]) -> None:
        self.lottery, self.seeds = lottery, replicates
        build = lottery.architecture
        self.initial = {r: build.initial(seeds.stream("init")) for r, seeds in replicates.items()}
        self.dense = Mask.dense({name: build.shapes[name] for name in build.prunable})
        self.masks, self.rewound = dict.fromkeys(replicates, self.dense), dict(self.initial)
        self.trained: dict[int, State] = {}
        self.whole: dict[int, Rung] = {}
        """Dense networks."""
        self.birds: dict[tuple[int, int], Mask] = {}
        """Of (replicate, level), where the dense training was watched."""
        self.ladders = OwnLadders(lottery.treatments)

    def prune(self, level: int, train: Train) -> Mapping[Cell, Drawn]:
        """Find the mask of every replicate at a level; returns the cells of the searches for them, if they were
        searched for. A search that collapses or diverges ends its replicate's ladder."""
        lottery = self.lottery
        if level == 0:
            return {}
        if lottery.method:
            sought = train([Cell(r, level, lottery.mode, 0) for r in self.masks], self._seek)
            ends = {cell.replicate: drawn for cell, drawn in sought.items() if drawn.status == "ok"}
            self.masks = {r: drawn.found for r, drawn in ends.items() if drawn.found is not None}
            return sought
        for r, mask in self.masks.items():
            self.masks[r] = (
                self.birds[r, level]
                if (r, level) in self.birds
                else lottery.pruned(r, self.seeds[r], level, mask, self.initial[r], self.trained[r])
            )
        return {}

    def cells(self, level: int) -> list[Cell]:
        """The cells of a level that are to be trained, of all replicates."""
        every = [cell for r in self.masks for cell in self.lottery.cells(r, level)]
        return [cell for cell in every if self.ladders.goes_on(cell)]

    def begin(self, cell: Cell) -> Start:
        """What a cell starts from: the ticket's mask and rewound weights, as its arm treats them."""
        lottery, r, level = self.lottery, cell.replicate, cell.level
        scene = Scene(
            architecture=lottery.architecture,
            mask=self.masks[r],
            rewound=self.rewound[r],
            rates=lottery.rates,
            seeds=self.seeds[r],
            level=level,
            draw=cell.draw,
            initial=self.initial[r],
            trained=self.trained.get(r),
            partner=self.masks.get(partner_of(r)),
            dense=self.whole.get(r),
            own=self.ladders.below(cell, self.whole.get(r)),
            rule=lottery.rule,
            probing=partial(lottery.probing, r) if lottery.probing else None,
        )
        arm = lottery.treatments[cell.arm] if level else Arm()  # dense, there is nothing to treat
        mask, state, dead = arm.treat(scene)
        return Start(state, mask, self.seeds[r], level, lottery.rewind if level else 0, dead)

    def note(self, level: int, drawn: Mapping[Cell, Drawn]) -> None:
        """Keep what the next level is made from. A ticket that collapsed or diverged ends its replicate's ladder,
        another arm at most its own."""
        self.ladders.climb(drawn, self.begin, self.whole)
        goes_on = CONTINUED if self.lottery.mode == "continued" and level else TICKET
        for r in list(self.masks):
            ends = [drawn[Cell(r, level, arm, 0)] for arm in (TICKET, goes_on)]
            if any(end.status != "ok" or end.trained is None for end in ends):
                del self.masks[r]
                continue
            source = ends[-1].trained
            assert source is not None
            if level == 0:
                self.rewound[r] = rewind_point(self.lottery.rewind, self.initial[r], source)
                self.whole[r] = Rung(self.dense, self.initial[r], source.end)
                self.birds |= {(r, bird.level): bird.mask for bird in source.birds}
            if level == 0 or self.lottery.mode in ("iterative", "continued"):
                self.trained[r] = last_lived(self.masks[r], source.end, self.trained.get(r, {}))

    def _seek(self, cell: Cell) -> Start:
        """What the search for a mask starts from: initial weights, at iteration 0 wherever tickets go back to."""
        search, state = self.lottery.search(cell), self.initial[cell.replicate]
        assert search is not None
        return search.start(Start(state, search.goal.dense(state), self.seeds[cell.replicate], cell.level))


def partner_of(replicate: int) -> int:
    """The replicate that swaps masks with this one: 0 and 1, 2 and 3, ..."""
    return replicate ^ 1


def last_lived(mask: Mask, end: State, before: State) -> State:
    """A trained state, with the value that each weight ended its last training with while it lived.

    In `end` dead weights tell nothing; `before` is what this returned a level earlier.
    """
    lived = {name: torch.where(mask[name], end[name], before.get(name, end[name])) for name in mask}
    return {**end, **lived}
