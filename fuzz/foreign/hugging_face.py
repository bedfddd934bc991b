"""Data sets as Hugging Face stores them: the splits and a split's state, one input after the other.

The table is a sound one: what polars does with others ends the process, so that Tombola tries them in one of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import polars as pl

from fuzz.target import Target
from tombola.data import hugging_face
from tombola.data.catalog import load

BREAK = b"\n--\n"
"""Between the two files in an input."""
COLUMNS = pl.DataFrame({"x": [[1.0, 2.0], [3.0, 4.0]], "label": [0, 1]})


def read(path: Path) -> None:
    """Put the files in their places, and read the data set."""
    splits, _, state = path.read_bytes().partition(BREAK)
    path.with_name("dataset_dict.json").write_bytes(splits)
    for part in ("train", "test"):
        folder = path.with_name(part)
        folder.mkdir(exist_ok=True)
        (folder / "state.json").write_bytes(state)
        COLUMNS.write_ipc_stream(folder / "data.arrow")
    with patch.object(hugging_face, "_require_harmless"):
        load(f"hf:{path.parent}")


def seeds() -> list[bytes]:
    """Two splits of one file."""
    splits = json.dumps({"splits": ["train", "test"]}).encode()
    state = json.dumps({"_data_files": [{"filename": "data.arrow"}], "_indices_files": None}).encode()
    return [splits + BREAK + state]


TARGET = Target(read, seeds, "fuzz")
