"""Copies of a run's networks: trained again from the same weights with other noise, and kept beside the run.

Two copies tell how much of where training ends the order of the examples decides: instability analysis (Frankle et
al. 2020, arXiv 1912.05671, section 2). Copies lie in `connect/<name>/cells` of the run folder, cells like its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell, Drawn
from tombola.masks.mask import Mask, restore
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.runs.cells.writing import write_cell
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import Run
from tombola.runs.progress import Progress
from tombola.runs.stacks import StackTrainer
from tombola.study.spec import Study
from tombola.training.start import Start

FOLDER = "connect"
DENSE = "dense"


@dataclass(frozen=True, order=True)
class Copy:
    """A network of a run: a cell itself (number 0), or one trained from the cell's start with other noise.

    A `dense` one is trained with the cell's own noise but without its mask, from the weights that tickets are rewound
    to. So are copies of level 0: the cell itself began at iteration 0. A network that is `beside` is one of the ladders
    of donors or twins, and never trained here.
    """

    cell: Cell
    number: int = 0
    dense: bool = False
    beside: str = ""

    @property
    def own(self) -> bool:
        """Whether it is a cell itself, of the run or of a ladder beside it."""
        return self.number == 0 and not self.dense

    @property
    def folder(self) -> str:
        """Which folder of copies it lies in."""
        return DENSE if self.dense else f"copy-{self.number}"

    def __str__(self) -> str:
        place = self.beside if self.own else self.folder
        return f"{place}:{self.cell}" if place else str(self.cell)


class CopyRun(Run):
    """A folder of copies: cells of their own, with the study and the starts of the run they lie in."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__(run.path / FOLDER / name)
        self.run, self.ladder = run, f"{FOLDER}/{name}"

    @property
    def study(self) -> Study:
        return self.run.study

    def start_file(self, digest: str) -> Path:
        return self.run.start_file(digest)

    def start_weights(self, digest: str) -> State:
        return self.run.start_weights(digest)

    def store(self, trained: Sequence[Drawn], seconds: float) -> None:
        """Store copies, each of which took so many seconds."""
        for drawn in trained:
            write_cell(self, drawn, self.keep, seconds, drawn.cell.arm in self.study.source_arms)

    def again(self, cell: Cell) -> str:
        return f"delete {self.folder(cell)} and connect again, which trains this copy anew"


def place_of(run: Run, copy: Copy) -> tuple[Run, Cell]:
    """The folder that a copy is in, and the name it has there."""
    if copy.beside:
        return next(each for each in run.ladders() if each.kind == copy.beside), copy.cell
    if copy.own:
        return run, copy.cell
    return CopyRun(run, copy.folder), replace(copy.cell, arm=DENSE) if copy.dense else copy.cell


def copy_of(folder: CopyRun, cell: Cell) -> Copy:
    """The copy that a cell of such a folder is; see `place_of`."""
    name = folder.path.name
    if name == DENSE:
        return Copy(replace(cell, arm=TICKET), dense=True)
    return Copy(cell, int(name.removeprefix("copy-")))


def rewound(run: Run, replicate: int) -> State:
    """The weights that a replicate's tickets are rewound to."""
    record = run.record(Cell(replicate, 0, TICKET, 0))
    assert record.start is not None, "a copy is made of a run that keeps its weights"
    return run.start_weights(record.rewind or record.start.digest)


def start_of(run: Run, copy: Copy) -> Start:
    """What a copy is trained from, at the iteration that tickets are rewound to.

    Raises UserError for an arm with dead weights that are not zero.
    """
    study, cell = run.study, copy.cell
    seeds = replace(study.seeds(cell.replicate), copy=copy.number)
    mask, kept = run.mask(cell), run.record(cell).start
    assert kept is not None, "a copy is made of a run that keeps its weights"
    if kept.dead and not copy.dense:
        raise UserError(
            f"{run.folder(cell)}: arm '{cell.arm}' freezes dead weights at other values than zero and "
            "cannot be copied; leave it out"
        )
    if copy.dense or cell.level == 0:
        state, mask = rewound(run, cell.replicate), Mask.dense(mask.shapes)
    else:
        # As it was stored, so that the copy's own record finds it there.
        state = run.start_weights(kept.digest)
        state = restore(state, mask) if kept.living else state
    return Start(state, mask, seeds, cell.level, study.pruning.rewind)


def train_copies(
    run: Run,
    copies: Collection[Copy],
    architecture: Architecture,
    data: Resident,
    record: EngineRecord,
    progress: Progress,
) -> None:
    """Train the copies that are not there yet, stack by stack: those of one folder, arm and level together. `record`
    is the run's; the make-up of their own stacks is recorded beside the copies."""
    study = run.study
    todo = sorted(copy for copy in copies if not copy.own)
    places = [place_of(run, copy) for copy in todo]
    steps = [study.recipe_at(cell.level).iterations - study.pruning.rewind for _, cell in places]
    done = [folder.has(cell) for folder, cell in places]
    progress.begin(sum(steps), sum(step for step, there in zip(steps, done, strict=True) if there))
    groups = {(copy.folder, copy.cell.level, copy.cell.arm): dict[Cell, Copy]() for copy in todo}
    for copy in todo:
        groups[copy.folder, copy.cell.level, copy.cell.arm][place_of(run, copy)[1]] = copy
    for (name, _, _), by_cell in groups.items():
        folder = CopyRun(run, name)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.sweep()
        own = record.beside(folder)
        trainer = StackTrainer(folder, study, architecture, data, own, progress)
        trainer.train(list(by_cell), partial(_begin, run, by_cell), folder.has, folder.store)


def _begin(run: Run, by_cell: Mapping[Cell, Copy], cell: Cell) -> Start:
    return start_of(run, by_cell[cell])
