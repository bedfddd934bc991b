"""What a tracker is: it is told of a run's beginning, of each cell that landed, and of its end."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.registry import Registry
from tombola.runs.cells.cells import HISTORY
from tombola.runs.cells.record import CellRecord
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.study.spec import Study

EXTENDABLE = ("levels", "replicates", "arms", "route", "hypothesis", "expect", "title")
"""Keys that a later call may change or extend without another run: no hyper-parameters of it."""


@dataclass(frozen=True)
class Landed:
    """A cell that is stored: its numbers (those it has), and its learning curves: iteration, split, loss, accuracy."""

    cell: Cell
    status: str
    density: float
    numbers: Mapping[str, float]
    history: pl.DataFrame

    @classmethod
    def of(cls, record: CellRecord, history: pl.DataFrame) -> Landed:
        """From a cell's record and curves."""
        numbers = {name: float(value) for name, value in record.numbers.items() if value is not None}
        return cls(record.cell, record.status, record.density, numbers, history)

    @property
    def tag(self) -> str:
        """What trackers call the cell: level, arm, replicate, draw."""
        return f"L{self.cell.level:02d}/{self.cell.arm}/r{self.cell.replicate}/{self.cell.draw}"

    @property
    def place(self) -> dict[str, int | str]:
        """The keys of the cell."""
        cell = self.cell
        return {"level": cell.level, "arm": cell.arm, "replicate": cell.replicate, "draw": cell.draw}

    def curves(self) -> Iterator[tuple[int, dict[str, float]]]:
        """For each iteration of the curves in turn: `loss/SPLIT` and, of classes, `accuracy/SPLIT` of the splits that
        were measured there."""
        for (iteration,), rows in self.history.sort("iteration", "split").group_by(
            "iteration", maintain_order=True
        ):
            values = {
                f"{quantity}/{row['split']}": row[quantity]
                for row in rows.iter_rows(named=True)
                for quantity in ("loss", "accuracy")
                if row[quantity] is not None
            }
            yield int(str(iteration)), values


class Tracker(Protocol):
    """One tracker for one run. Whatever it keeps of its own lies in `folder`."""

    def begin(self, study: Study, folder: Path) -> None:
        """A run begins, or goes on."""

    def landed(self, cell: Landed) -> None:
        """A cell is stored. Told once a cell; once more only where the process died before that was noted down."""

    def end(self, results: pl.DataFrame) -> None:
        """The run is over or was stopped: one row a cell of what is done."""


TRACKERS: Registry[Callable[[], Tracker]] = Registry("tracker", "tombola.runs.trackers")
"""Name -> makes a tracker; raises UserError where its package is not installed."""


def open_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """A tracker for each name, in order, each once. Raises UserError for an unknown name or a missing package."""
    return {name: TRACKERS[name]() for name in dict.fromkeys(names)}


def needed(module: str, extra: str, option: str = "--track") -> Any:
    """A module of a package that an option such as `--track mlflow` needs. Raises UserError that says how to install
    it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UserError(
            f"{option} {extra} needs a package that is not installed ({problem.name or problem}); "
            f"expected after: pip install 'tombola[{extra}]'"
        ) from None


def parameters(study: Study) -> dict[str, Any]:
    """The hyper-parameters of a study by dotted name, without those that a later call may extend."""
    return dict(_flat("", study.model_dump(mode="json", exclude=set(EXTENDABLE))))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


FOLDER = "track"


class Tracking:
    """The trackers of one run. Not for several threads at once."""

    def __init__(self, run: Run, trackers: Mapping[str, Tracker]) -> None:
        self._run = run
        self._trackers = dict(trackers)
        self._told = {name: self._noted(name) for name in trackers}

    def begin(self, study: Study) -> None:
        """Tell of the beginning, and of the cells that are there already."""
        for name in list(self._trackers):
            folder = self._run.path / FOLDER / name
            folder.mkdir(parents=True, exist_ok=True)
            self._tell(name, lambda tracker, folder=folder: tracker.begin(study, folder))  # type: ignore[misc]
        self.catch_up()

    def catch_up(self) -> None:
        """Tell of every stored cell that was not told of yet."""
        if not self._trackers:
            return
        for cell in self._run.cells():
            waiting = [name for name in self._trackers if str(cell) not in self._told[name]]
            if waiting:
                landed = self._landed(cell)
                for name in waiting:
                    if self._tell(name, lambda tracker, landed=landed: tracker.landed(landed)):  # type: ignore[misc]
                        self._note(name, cell)

    def end(self) -> None:
        """Tell of the end."""
        if self._trackers:
            frame = results_of(self._run)
            for name in list(self._trackers):
                self._tell(name, lambda tracker: tracker.end(frame))

    def _tell(self, name: str, what: Callable[[Tracker], None]) -> bool:
        try:
            what(self._trackers[name])
        except Exception as problem:  # a tracker's package may raise anything
            del self._trackers[name]
            warnings.warn(
                f"tracker '{name}' failed and is told no more of this run ({type(problem).__name__}: {problem}); "
                "the run goes on, and the same command makes up for it",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        return True

    def _landed(self, cell: Cell) -> Landed:
        there = (self._run.folder(cell) / "history.parquet").is_file()
        history = self._run.history(cell) if there else pl.DataFrame(schema=HISTORY)
        return Landed.of(self._run.record(cell), history)

    def _list(self, name: str) -> Path:
        return self._run.path / FOLDER / f"{name}.cells"

    def _noted(self, name: str) -> set[str]:
        path = self._list(name)
        return set(path.read_text().splitlines()) if path.exists() else set()

    def _note(self, name: str, cell: Cell) -> None:
        self._told[name].add(str(cell))
        with self._list(name).open("a") as file:
            file.write(f"{cell}\n")
