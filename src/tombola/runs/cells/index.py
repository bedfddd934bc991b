"""The index of a folder of cells: what was found in each and in the starts they rest on, and how the files were then.

It only saves reading. A cell whose files are not so any more is read itself; so is everything where the index is
missing, damaged, or of another version, and nobody is told, since no answer depends on it. It is written whole or not
at all, so that any number of processes may read and write it; of two that write, the later one's stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from tombola.files import canonical, sweep, write_bytes
from tombola.lottery.cell import Cell
from tombola.runs.cells.integrity import fault
from tombola.runs.cells.record import CellRecord, StartPlace
from tombola.runs.cells.walk import names_in, state_of
from tombola.seals import digest_of_bytes

INDEX = ".index"
MANY = 500
"""Fewer cells than these are read in a moment: no index is read or written for them."""
SETTLED = 2.0
"""Seconds. A file that changed more recently may change again without another time to show for it."""
NAMES = [each.name for each in fields(CellRecord) if each.name != "cell"]
FORM = ["1", *NAMES]
"""Whoever changes what is noted of a cell counts on: an index of another form is none."""


@dataclass(frozen=True)
class Entry:
    """What was found in a cell that is whole: its record, and the seconds that it trained."""

    record: CellRecord
    seconds: float


class Index:
    """The index of a folder of cells, as it was when this was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._noted, self._starts = _read(folder / INDEX)

    def entry(self, cell: Cell) -> Entry | None:
        """What is noted of a cell; None where that is nothing, or its files are not as they were then."""
        noted = self._noted.get(name := str(cell))
        if noted is None or str(state_of(f"{self._folder}/cells/{name}", noted[0].split("/"))) != noted[1]:
            return None
        table = dict(zip(NAMES, noted[3], strict=True))
        table["start"] = StartPlace(*table["start"]) if table["start"] else None
        return Entry(CellRecord(cell=cell, **table), noted[2])

    def note(self, cell: Cell, read: Callable[[Cell], Entry]) -> None:
        """Read a cell and note what was found. Raises as `read`."""
        folder, now = f"{self._folder}/cells/{cell}", time.time_ns()
        names = names_in(folder)
        state = state_of(folder, names)  # what changes after it was taken will show
        entry = read(cell)
        if not state or not _is_settled(state, now):
            return
        table = {name: getattr(entry.record, name) for name in NAMES}
        table["start"] = astuple(entry.record.start) if entry.record.start else None
        self._noted[str(cell)] = ["/".join(names), str(state), entry.seconds, list(table.values())]

    def start_is_whole(self, path: Path) -> bool:
        """Whether a start was, and is as it was then."""
        return self._starts.get(path.stem) == str(state_of(str(path.parent), [path.name]))

    def note_start(self, path: Path) -> bool:
        """Look at a start, and note it where it is whole, which is returned."""
        now, state = time.time_ns(), state_of(str(path.parent), [path.name])
        whole = not fault(path)
        if whole and state and _is_settled(state, now):
            self._starts[path.stem] = str(state)
        return whole

    def store(self, cells: Iterable[Cell], starts: Iterable[str]) -> None:
        """Write down what is noted of these cells and starts. Nothing is written where nobody may write, or the disk is
        full."""
        table = {
            "form": FORM,
            "cells": {name: self._noted[name] for name in map(str, cells) if name in self._noted},
            "starts": {digest: self._starts[digest] for digest in starts if digest in self._starts},
        }
        data = canonical(table).encode()
        sweep(self._folder, f".{INDEX}.*.tmp")
        with suppress(OSError):
            write_bytes(self._folder / INDEX, digest_of_bytes(data).encode() + b"\n" + data)


def _is_settled(state: list[int], now: int) -> bool:
    """Whether files changed last so long ago that another change would show."""
    return max(state[::3]) <= now - SETTLED * 1e9


def _read(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Name of a cell -> its files, their state, seconds, and the values of its record; digest of a start -> its state.
    Nothing where the file is not whole, or of another form."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        digest, _, data = path.read_bytes().partition(b"\n")
        if digest == digest_of_bytes(data).encode():
            table: dict[str, Any] = json.loads(data)
            if table["form"] == FORM:
                return table["cells"], table["starts"]
    return {}, {}
