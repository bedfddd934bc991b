"""Telling trackers of a run: each cell once, whatever was stopped and resumed between.

    track/NAME/          what a tracker keeps in the run folder
    track/NAME.cells     the cells that it was told of, one a line

A tracker is told of what lies in the folder, not of what passes by: cells of an earlier call without trackers are
made up for, and nothing is told before it is stored. One that fails is left out from then on, with a warning: no
training is lost to it, and a later call makes up for what it missed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from tombola.lottery import Cell
from tombola.study.results import results
from tombola.study.spec import Study
from tombola.study.store import Run
from tombola.study.trackers.tracker import Landed, Tracker
from tombola.study.writing import HISTORY

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
            frame = results(self._run)
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
        return Landed.of(cell, self._run.record(cell), history)

    def _list(self, name: str) -> Path:
        return self._run.path / FOLDER / f"{name}.cells"

    def _noted(self, name: str) -> set[str]:
        path = self._list(name)
        return set(path.read_text().splitlines()) if path.exists() else set()

    def _note(self, name: str, cell: Cell) -> None:
        self._told[name].add(str(cell))
        with self._list(name).open("a") as file:
            file.write(f"{cell}\n")
