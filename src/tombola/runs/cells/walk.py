"""What lies in a folder of cells: their names, and what shows that the files of one have changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from operator import attrgetter

from tombola.errors import UserError
from tombola.lottery.cell import Cell

REPLICATE, LEVEL, ARM, DRAW = (re.compile(each) for each in (r"r\d+", r"L\d+", r"[^.].*", r"\d+"))


def cells_in(root: str) -> list[Cell]:
    """The cells that lie in a folder, in order. One that has lost its files is among them, not passed over. Raises
    UserError for a folder that cannot be read."""
    return sorted(
        Cell(int(replicate[1:]), int(level[1:]), arm, int(draw))
        for replicate in _names(root, REPLICATE)
        for level in _names(f"{root}/{replicate}", LEVEL)
        for arm in _names(f"{root}/{replicate}/{level}", ARM)
        for draw in _names(f"{root}/{replicate}/{level}/{arm}", DRAW)
    )


def _names(folder: str, pattern: re.Pattern[str]) -> list[str]:
    """What lies in a folder and is called so, links to nothing left out; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.name
                for entry in entries
                if pattern.fullmatch(entry.name) and (not entry.is_symlink() or os.path.exists(entry.path))
            ]
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise UserError(f"{folder}: cannot be read ({problem.strerror})") from None
    found.sort(key=lambda name: (len(name), name))  # numbers in order, which are sorted at once then
    return found


_facts = attrgetter("st_mtime_ns", "st_size", "st_ino")


def names_in(folder: str) -> list[str]:
    """What lies in a folder; nothing where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def state_of(folder: str, names: Iterable[str]) -> list[int]:
    """Of each of some files in a folder: time of change (nanoseconds), size and inode, which change when it is written
    or replaced. Nothing where one of them is not there.

    This cannot show an edit that leaves time and size as they were, nor a bit that turned on the disk. Those are for
    the digests, which are checked when the files themselves are read, and all at once by `tombola verify`, which looks
    at every cell itself.
    """
    try:
        return [fact for name in names for fact in _facts(os.stat(f"{folder}/{name}"))]
    except OSError:
        return []
