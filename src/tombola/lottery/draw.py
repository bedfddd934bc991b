"""The lottery: train, prune, rewind, repeat (Frankle & Carbin 2019, section 2, Strategy 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch

from tombola.lottery.arms.catalog import CONTINUED, TICKET, Arm
from tombola.lottery.arms.context import Rung, Scene
from tombola.lottery.cell import Begin, Cell, Drawn, Train
from tombola.lottery.lottery import Lottery, rewind_point
from tombola.lottery.modes import FROM_BELOW
from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.seeds import Seeds
from tombola.training.start import Start

Ladder = tuple[int, str, int]
"""Replicate, arm and draw."""


class OwnLadders:
    """The ladders of a lottery's arms: of each, the network of the level before."""

    def __init__(self, treatments: Mapping[str, Arm]) -> None:
        self._arms = {name for name, arm in treatments.items() if "ladder" in arm.traits}
        self._below: dict[Ladder, Rung] = {}
        self._ended: set[Ladder] = set()

    def goes_on(self, cell: Cell) -> bool:
        """False where the cell's arm has a ladder that ended below this level; other arms are not affected."""
        return _ladder(cell) not in self._ended

    def below(self, cell: Cell, dense: Rung | None) -> Rung | None:
        """What the cell's mask is pruned from: its arm's network of the level before, at level 1 the dense one."""
        return dense if cell.level == 1 else self._below.get(_ladder(cell))

    def climb(self, drawn: Mapping[Cell, Drawn], begin: Begin, dense: Mapping[int, Rung]) -> None:
        """Note the networks of a level, for the next one. A network that collapsed or diverged ends its ladder.

        A cell that was remembered has no start, which is made again: with the same bits, since all that it rests on
        is as it was. Where weights were forgotten there is nothing to note, since nothing above is left to train.
        """
        for cell, result in drawn.items():
            if not cell.level or cell.arm not in self._arms:
                continue
            below = self.below(cell, dense.get(cell.replicate))
            if result.status != "ok":
                self._ended.add(_ladder(cell))
            elif result.trained is None or below is None:
                self._below.pop(_ladder(cell), None)
            else:
                start = result.start or begin(cell)
                self._below[_ladder(cell)] = Rung(start.mask, start.state, result.trained.end)


def _ladder(cell: Cell) -> Ladder:
    return cell.replicate, cell.arm, cell.draw


class Climb:
    """The replicates of a lottery that still climb: the mask of each at its level, what its tickets go back to, and
    the weights that its next mask is pruned from."""

    def __init__(self, lottery: Lottery, replicates: Mapping[int, Seeds]) -> None:
        self.lottery, self.seeds = lottery, replicates
        build = lottery.architecture
        self.initial = {r: build.initial(seeds.stream("init")) for r, seeds in replicates.items()}
        self.dense = Mask.dense(build.prunable_shapes)
        self.masks, self.rewound = dict.fromkeys(replicates, self.dense), dict(self.initial)
        self.trained: dict[int, State] = {}
        self.whole: dict[int, Rung] = {}
        """Dense networks."""
        self.birds: dict[tuple[int, int], Mask] = {}
        """Of (replicate, level), where trainings were watched."""
        self.ladders = OwnLadders(lottery.treatments)

    def prune(self, level: int, train: Train) -> Mapping[Cell, Drawn]:
        """Find the mask of every replicate at a level; returns the cells of the searches for them, if they were
        searched for. A search that collapses or diverges ends its replicate's ladder."""
        lottery = self.lottery
        if level == 0 or level not in lottery.drawn:
            return {}
        if lottery.method:
            sought = train([Cell(r, level, lottery.mode, 0) for r in self.masks], self.seek)
            ends = {cell.replicate: drawn for cell, drawn in sought.items() if drawn.status == "ok"}
            self.masks = {r: drawn.found for r, drawn in ends.items() if drawn.found is not None}
            return sought
        for r, mask in self.masks.items():
            initial = self.initial[r]
            trained = self.trained.get(r, initial)  # not needed where nothing was trained
            self.masks[r] = (
                self.birds[r, level]
                if (r, level) in self.birds
                else lottery.pruned(r, self.seeds[r], level, mask, initial, trained)
            )
        return {}

    def cells(self, level: int) -> list[Cell]:
        """The cells of a level that are to be trained, of all replicates."""
        if level not in self.lottery.drawn:
            return []
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
            lent=partial(lottery.lends, r, level) if lottery.lends else None,
        )
        if not level:  # dense, there is nothing to treat
            return Start(scene.rewound, scene.mask, self.seeds[r])
        mask, state, dead, made = lottery.treated(cell, scene)
        return Start(state, mask, self.seeds[r], level, lottery.rewind, dead, made, cell.arm == TICKET)

    def note(self, level: int, drawn: Mapping[Cell, Drawn]) -> None:
        """Keep what the next level is made from. A ticket that collapsed or diverged ends its replicate's ladder,
        another arm at most its own. So does one whose weights are gone, unless it was not trained as nobody asked."""
        if level not in self.lottery.drawn:
            return
        self.ladders.climb(drawn, self.begin, self.whole)
        goes_on = CONTINUED if self.lottery.mode == "continued" and level else TICKET
        for r in list(self.masks):
            ends = [drawn[Cell(r, level, arm, 0)] for arm in (TICKET, goes_on)]
            source, idle = ends[-1].trained, self.lottery.asked is not None
            if any(end.status != "ok" or (end.trained is None and not idle) for end in ends):
                del self.masks[r]
                continue
            if source is None:
                continue
            self.birds |= {(r, bird.level): bird.mask for bird in source.birds}
            if level == 0:
                self.rewound[r] = rewind_point(self.lottery.rewind, self.initial[r], source)
                self.whole[r] = Rung(self.dense, self.initial[r], source.end)
            if level == 0 or self.lottery.mode in FROM_BELOW:
                self.trained[r] = last_lived(self.masks[r], source.end, self.trained.get(r, {}))

    def seek(self, cell: Cell) -> Start:
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
