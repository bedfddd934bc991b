"""What a lottery is: an architecture, how it is pruned, how far, and the arms trained beside each ticket."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tombola.lottery.arms.catalog import Arm
from tombola.lottery.arms.context import Scene
from tombola.lottery.arms.donors import Lends
from tombola.lottery.arms.treat import treat
from tombola.lottery.cell import Cell, level_cells
from tombola.lottery.modes import Mode, drawn_levels
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import Seeds
from tombola.training.search.base import Goal, Method, Search
from tombola.training.search.bird import seen_from
from tombola.training.search.early_bird import EarlyBirds, Watch
from tombola.training.trained import Trained

Route = Callable[[Cell, Scene], tuple[Mask, State, Mapping[str, Any] | None]]
"""What makes the ticket of a cell from other tickets: a mask, what training starts from, how they were made (JSON). The
mask is empty where a ladder that it takes from has ended."""


@dataclass(frozen=True)
class Lottery:
    """What is drawn: an architecture, a way to prune it, how far, and the arms trained beside each ticket.

    `rates` are per prunable tensor; `alive` is the exact ladder, pool -> weights alive, one entry a level;
    `rewind` is the iteration that weights go back to; `arms(level)` lists (name, draws) of the controls;
    `probing(replicate)` is for criteria that look at the network and its data. Where the mode is a search, `method`
    finds the mask of each level by a training of its own, in a cell that has the mode's name. In
    mode `early-bird` the dense training is watched, as `watcher` says, and leaves the masks of all levels, in mode
    `short-rounds` each ticket's, which leaves that of the next. `lends` is
    for arms that take from donors; `routes` are arms whose tickets are made from others, by name. Where tickets are
    `asked` for as they start, and at these levels alone, other levels are drawn if these need them, and what is watched
    trains until its masks stand still.
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
    method: Method | None = None
    watcher: EarlyBirds | None = None
    lends: Lends | None = None
    routes: Mapping[str, Route] = field(default_factory=dict)
    asked: Collection[int] | None = None

    @property
    def drawn(self) -> list[int]:
        """The levels that are drawn."""
        return drawn_levels(self.mode, self.levels, self.asked)

    @property
    def levels(self) -> int:
        """The last level; 0 is dense."""
        return len(self.alive) - 1

    def cells(self, replicate: int, level: int) -> list[Cell]:
        """The cells of one replicate at one level, the ticket first."""
        return level_cells(replicate, level, self.arms(level))

    def treated(self, cell: Cell, scene: Scene) -> tuple[Mask, State, State, Mapping[str, Any] | None]:
        """The mask, the state and the dead values that a cell's arm makes of a scene, and how a route made them."""
        if cell.arm in self.routes:
            mask, state, made = self.routes[cell.arm](cell, scene)
            return mask, state, {}, made
        return *treat(self.treatments[cell.arm], scene), None

    def search(self, cell: Cell) -> Search | None:
        """What the training of a cell is to find; None for a cell that has its mask."""
        if self.method is None or cell.arm != self.mode:
            return None
        return Search(self.method, Goal(self.alive[cell.level], self.rates, self.rule))

    def watch(self, cell: Cell) -> Watch | None:
        """Who looks at the trainings of a cell's level; None where no mask is made of weights on their way."""
        seen = seen_from(self.mode, cell.level, self.levels)
        if self.watcher is None or not seen:
            return None
        goals = [Goal(self.alive[level], self.rates, self.rule) for level in seen]
        return Watch(self.watcher, goals, seen.start, ends=self.asked is not None)

    def pruned(self, r: int, seeds: Seeds, level: int, mask: Mask, initial: State, trained: State) -> Mask:
        """The mask of replicate r at a level, from the one a level above and the weights it ended with."""
        asks = self.probing is not None and CRITERIA.facts(self.rule.criterion)["probe"]
        probe, ties = self.probing(r) if self.probing and asks else None, seeds.stream("ties", level)
        if self.mode in ("iterative", "continued"):
            return Pruner(self.rule, self.rates, ties, probe).by_rate(mask, initial, trained)
        scored = initial if self.mode == "at-init" else trained
        dense = Mask.dense(mask.shapes)
        return Pruner(self.rule, self.rates, ties, probe).to_counts(dense, initial, scored, self.alive[level])


def rewind_point(iteration: int, initial: State, dense: Trained) -> State:
    """The state that tickets go back to: `initial`, or the dense network's snapshot of `iteration`."""
    if iteration == 0:
        return initial
    assert dense.snapshot is not None, "the dense network was trained with snapshot_at=iteration"
    return dense.snapshot
