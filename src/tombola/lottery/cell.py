"""A cell: the smallest unit of work and storage, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tombola.lottery.arms.catalog import TICKET
from tombola.masks.mask import Mask
from tombola.training.start import Start
from tombola.training.trained import Trained

Status = Literal["ok", "collapsed", "diverged"]


@dataclass(frozen=True, order=True)
class Cell:
    """The smallest unit of work and storage: one network of a study."""

    replicate: int
    level: int
    arm: str
    draw: int

    def __str__(self) -> str:
        return f"r{self.replicate}/L{self.level:02d}/{self.arm}/{self.draw}"


def level_cells(
    replicate: int, level: int, arms: Sequence[tuple[str, int]], search: str | None = None
) -> list[Cell]:
    """The cells of one replicate at one level for arms given as (name, draws): the ticket first, and at
    level 0, which is dense, alone. Before all of them comes the search for their mask, if there is one."""
    others = [(name, draws) for name, draws in arms if level and name != TICKET]
    drawn = [Cell(replicate, level, name, draw) for name, draws in others for draw in range(draws)]
    sought = [Cell(replicate, level, search, 0)] if level and search else []
    return [*sought, Cell(replicate, level, TICKET, 0), *drawn]


@dataclass(frozen=True)
class Drawn:
    """A cell with what it started from and how it trained: not at all when its mask left a layer empty
    (`collapsed`), or when nobody asked for more than its mask and its start; to non-finite numbers when it `diverged`.
    A cell remembered from disk has no start. `found` is the mask that a search ended with."""

    cell: Cell
    status: Status
    start: Start | None
    trained: Trained | None
    found: Mask | None = None

    @property
    def mask(self) -> Mask:
        """The mask it ended with, of a cell that was not remembered."""
        assert self.start is not None, "a cell that was remembered has its mask on disk"
        return self.start.mask if self.found is None else self.found


Begin = Callable[[Cell], Start]
"""Makes the start of a cell; only called for cells that have to be trained."""

Train = Callable[[Sequence[Cell], Begin], Mapping[Cell, Drawn]]
"""Trains the cells of a level, each from the start that `begin` makes for it, or remembers having done so."""


def train_cells(
    cells: Sequence[Cell], begin: Begin, train: Callable[[Sequence[Start]], Sequence[Trained | None]]
) -> dict[Cell, Drawn]:
    """Train cells as one stack, or let them be where `train` gives None. One whose mask leaves a layer without weights
    is not trained: no signal could pass, and its numbers would be those of a constant function."""
    starts = {cell: begin(cell) for cell in cells}
    whole = [cell for cell in cells if not starts[cell].mask.empty_layers()]
    trained = dict(zip(whole, train([starts[cell] for cell in whole]), strict=True)) if whole else {}
    drawn = {}
    for cell in cells:
        result = trained.get(cell)
        diverged = result is not None and result.diverged
        status: Status = "collapsed" if cell not in trained else "diverged" if diverged else "ok"
        drawn[cell] = Drawn(cell, status, starts[cell], result, result.mask if result else None)
    return drawn
