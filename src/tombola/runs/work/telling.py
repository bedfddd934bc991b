"""How far all workers of a run are together: each writes down what it does, and whoever shows it reads that."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tombola.lottery.cell import Cell, Drawn
from tombola.runs.cells.name import cell_named
from tombola.runs.presence import WORK, Presence
from tombola.runs.progress import Progress
from tombola.runs.stacks import name_of
from tombola.runs.work.edges import Part

SELDOM = 0.5
"""Seconds between two lines of one worker on its way through a stack, at the least."""


class Told:
    """A Progress that writes what it is told of one part of a run in a worker's log."""

    def __init__(self, presence: Presence, told: Callable[[], None], part: Part) -> None:
        """`told` is called whenever something was written."""
        self._presence, self._told, self._part = presence, told, part
        self._steps, self._last = 0, 0.0

    def begin(self, total: int, done: int) -> None:
        pass

    def turn_to(self, part: str) -> None:
        pass

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        """A stack is further by so many network-iterations."""
        self._steps += steps
        if time.monotonic() - self._last >= SELDOM:
            self._write(cells)

    def landed(self, drawn: Sequence[Drawn]) -> None:
        """A stack is stored."""
        self._write([each.cell for each in drawn])
        self._tell({"landed": {str(each.cell): each.status for each in drawn}})
        self._steps = 0

    def _write(self, cells: Sequence[Cell]) -> None:
        self._last = time.monotonic()
        self._tell({"stack": name_of(cells), "first": str(cells[0]), "steps": self._steps})

    def _tell(self, line: dict[str, Any]) -> None:
        self._presence.tell({"part": self._part, **line})
        self._told()


class Heard:
    """Tells a Progress what the workers of a run write in their logs. A stack that is trained again, after its worker
    was lost, counts once."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder, self._progress = folder / WORK, progress
        self._read: dict[Path, int] = defaultdict(int)
        self._steps: dict[tuple[str, str], int] = defaultdict(int)
        self._landed: set[tuple[str, str]] = set()
        self.stacks = 0
        """How many were stored."""

    def skip(self) -> None:
        """Pass over what is there already."""
        for path in self._folder.glob("*.log"):
            self._read[path] = path.stat().st_size

    def listen(self) -> None:
        """Tell what is new."""
        for path in self._folder.glob("*.log"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]  # the last line may not be written yet
            self._read[path] += len(whole)
            for line in whole.splitlines():
                self._tell(json.loads(line))

    def _tell(self, line: dict[str, Any]) -> None:
        part = line["part"]
        self._progress.turn_to(part)
        if "landed" in line:
            fresh = {
                name: line["landed"][name] for name in line["landed"] if (part, name) not in self._landed
            }
            self._landed |= {(part, name) for name in fresh}
            if fresh:
                self.stacks += 1
                self._progress.landed([Drawn(cell_named(name), fresh[name], None, None) for name in fresh])
            return
        stack, steps = (part, line["stack"]), line["steps"]
        if steps > self._steps[stack]:
            self._progress.advance(steps - self._steps[stack], [cell_named(line["first"])])
            self._steps[stack] = steps
