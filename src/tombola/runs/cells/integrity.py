"""Whether a file of a cell is there and whole, as far as that shows without reading their contents.

A cell is written at once, so a file that is missing or cut short was lost later: by a copy that was broken off, a disk,
a hand. Nothing is deleted unasked; whoever meets it says which folder to delete to have the cell trained anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tombola.runs.cells.record import TIMING_FILE
from tombola.seals import has_size

PARQUET = b"PAR1"
"""How a parquet file begins and ends."""


def fault(path: Path) -> str:
    """What is wrong with a file, to be said after its path; "" where it is there and ends where it should."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(8)
            if path.suffix == ".safetensors":
                whole = size == _tensors_end(head, file.read(min(int.from_bytes(head, "little"), size)))
            else:
                file.seek(max(size - len(PARQUET), 0))
                tail = file.read()
                whole = (
                    tail.rstrip().endswith(b"}") if path.suffix == ".json" else head[:4] == tail == PARQUET
                )
    except FileNotFoundError:
        return "is missing"
    return "" if whole else "is cut short, or another kind of file"


def suspect(folder: Path, files: Iterable[str], digests: Mapping[str, str]) -> list[str]:
    """The files of a cell that are not there, or not of the size that they were stored with, and need a closer look."""
    with os.scandir(folder) as entries:
        sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    return [
        name
        for name in files
        if not (
            has_size(sizes.get(name), digests.get(name, ""))
            or (digests and name == TIMING_FILE and name in sizes)
        )
    ]


def _tensors_end(head: bytes, header: bytes) -> int | None:
    """The length of a safetensors file, from the first eight bytes and the table of contents that follows them."""
    try:
        table = json.loads(header)
        ends = [int(entry["data_offsets"][1]) for name, entry in table.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        return None
    return 8 + int.from_bytes(head, "little") + max(ends, default=0)
