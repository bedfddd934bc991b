"""What a lottery is: an architecture, how it is pruned, how far, and the arms trained beside each ticket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tombola.errors import UserError
from tombola.lottery.arms.catalog import Arm
from tombola.lottery.cell import Cell, level_cells
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.masks.prune import prune_mask, prune_to
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import Seeds
from tombola.training.record import Trained
from tombola.training.search.base import SEARCHES, Goal, Method, Search
from tombola.training.search.early_bird import EARLY_BIRD, EarlyBirds, Watch

Mode = str
"""A name of MODES."""

MODES: Mapping[Mode, str] = {
    "iterative": "the ticket of the level before is pruned: Strategy 1 (Frankle & Carbin 2019, App. B)",
    "continued": "what is pruned is trained on and on and never reset: Strategy 2 (Frankle & Carbin 2019, App. B)",
    "one-shot": "the trained dense network is pruned once, to every level (Frankle & Carbin 2019, 2)",
    "at-init": "the untrained network is pruned once, to every level (Lee et al. 2019)",
    EARLY_BIRD: "the dense network is pruned once, to every level, when its masks stand still (You et al. 2020)",
    **{name: SEARCHES.describe(name) for name in SEARCHES},
}
"""When masks are made, or the training that finds them."""


@dataclass(frozen=True)
class Lottery:
    """What is drawn: an architecture, a way to prune it, how far, and the arms trained beside each ticket.

    `rates` are per prunable tensor; `alive` is the exact ladder, pool -> weights alive, one entry a level;
    `rewind` is the iteration that weights go back to; `arms(level)` lists (name, draws) of the controls;
    `probing(replicate)` is for criteria that look at the network and its data. Where the mode is a search, `method`
    finds the mask of each level by a training of its own, in a cell that has the mode's name. In
    mode `early-bird` the dense training is watched, as `watcher` says, and leaves the masks of all levels.
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

    @property
    def levels(self) -> int:
        """The last level; 0 is dense."""
        return len(self.alive) - 1

    def cells(self, replicate: int, level: int) -> list[Cell]:
        """The cells of one replicate at one level, the ticket first."""
        return level_cells(replicate, level, self.arms(level))

    def search(self, cell: Cell) -> Search | None:
        """What the training of a cell is to find; None for a cell that has its mask."""
        if self.method is None or cell.arm != self.mode:
            return None
        return Search(self.method, Goal(self.alive[cell.level], self.rates, self.rule))

    def watch(self, cell: Cell) -> Watch | None:
        """Who looks at the training of a cell; None for all but dense networks whose early birds are drawn."""
        if self.watcher is None or cell.level > 0:
            return None
        return Watch(self.watcher, [Goal(counts, self.rates, self.rule) for counts in self.alive[1:]])

    def pruned(self, r: int, seeds: Seeds, level: int, mask: Mask, initial: State, trained: State) -> Mask:
        """The mask of replicate r at a level, from the one a level above and the weights it ended with."""
        asks = self.probing is not None and CRITERIA.needs(self.rule.criterion).probe
        probe, ties = self.probing(r) if self.probing and asks else None, seeds.stream("ties", level)
        if self.mode in ("iterative", "continued"):
            return prune_mask(mask, initial, trained, self.rates, self.rule, ties, probe)
        scored = initial if self.mode == "at-init" else trained
        dense = Mask.dense(mask.shapes)
        return prune_to(dense, initial, scored, self.alive[level], self.rates, self.rule, ties, probe)


After = Literal["rewind", "learning-rate", "fine-tune"]

REWINDS: Mapping[After, str] = {
    "rewind": "weights and schedule go back to iteration pruning.rewind (Frankle & Carbin 2019; Frankle et al. 2019)",
    "learning-rate": "the schedule goes back, the weights stay trained (Renda et al. 2020)",
    "fine-tune": "trained on at the last learning rate, for as many iterations (Renda et al. 2020)",
}
"""What a ticket starts from once it is pruned."""


def check_rewind(iteration: int, iterations: int) -> None:
    """Raise UserError unless 0 <= iteration < iterations."""
    if not 0 <= iteration < iterations:
        raise UserError(
            f"pruning.rewind is iteration {iteration}, expected 0 or more and less than the recipe's {iterations}"
        )


def rewind_point(iteration: int, initial: State, dense: Trained) -> State:
    """The state that tickets go back to: `initial`, or the dense network's snapshot of `iteration`."""
    if iteration == 0:
        return initial
    assert dense.snapshot is not None, "the dense network was trained with snapshot_at=iteration"
    return dense.snapshot
