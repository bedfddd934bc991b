"""What a tracker is: somebody who is told of a run's beginning, of each cell that landed, and of its end."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from tombola.errors import UserError
from tombola.lottery import Cell
from tombola.registry import Registry
from tombola.study.spec import Study
from tombola.training import NUMBERS

EXTENDABLE = ("levels", "replicates", "arms", "hypothesis", "expect", "title")
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
    def of(cls, cell: Cell, record: Mapping[str, Any], history: pl.DataFrame) -> Landed:
        """From the contents of cell.json and the curves."""
        numbers = {name: float(record[name]) for name in NUMBERS if record[name] is not None}
        return cls(cell, record["status"], record["density"], numbers, history)

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
        """For each iteration of the curves in turn: `loss/SPLIT` and `accuracy/SPLIT` of the splits measured there."""
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


TRACKERS: Registry[Callable[[], Tracker]] = Registry("tracker")
"""Name -> makes a tracker; raises UserError where its package is not installed."""


def open_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """A tracker for each name, in order, each once. Raises UserError for an unknown name or a missing package."""
    return {name: TRACKERS[name]() for name in dict.fromkeys(names)}


def needed(module: str, extra: str) -> Any:
    """A module of a tracker's package. Raises UserError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UserError(
            f"--track {extra} needs a package that is not installed ({problem.name or problem}); "
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
