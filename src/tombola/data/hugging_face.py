"""Data sets of Hugging Face on disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter

from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.data.own_files import TEST, TRAIN, label_column, options_of
from tombola.errors import UserError, nearest
from tombola.files import checked, read_object
from tombola.text import listed


class SplitsTable(BaseModel):
    """What dataset_dict.json says."""

    splits: tuple[str, ...]


class FileTable(BaseModel):
    """A file of a split."""

    filename: str


class StateTable(BaseModel):
    """What the state.json of a split says; the indices are a list of files as well, or null."""

    files: Annotated[tuple[FileTable, ...], Field(alias="_data_files")]
    indices: Annotated[Any, Field(alias="_indices_files")] = None


SPLITS, STATE = TypeAdapter(SplitsTable), TypeAdapter(StateTable)
READ = "import sys, polars; [polars.read_ipc_stream(path) for path in sys.argv[1:]]"


def read_hugging_face(name: str, given: str) -> Dataset:
    """`hf:FOLDER` or `hf:FOLDER?label=COLUMN`: what `datasets.DatasetDict.save_to_disk` wrote, with the splits `train`
    and `test` (or `validation`), numbers or lists of numbers in every column but the label.

    Images, which are stored encoded, are refused by name. Raises UserError that names folder and column.
    """
    file, options = options_of(name, given, ("label",))
    folder = Path(file).expanduser()
    if not (folder / "dataset_dict.json").is_file():
        raise UserError(
            f"{folder}: no dataset_dict.json in it; expected a folder of DatasetDict.save_to_disk"
        )
    index = folder / "dataset_dict.json"
    splits = checked(index, read_object(index), SPLITS).splits
    found = [next((each for each in names if each in splits), None) for names in (TRAIN, TEST)]
    if None in found:
        raise UserError(f"{folder}: has the splits {listed(splits)}; expected 'train' and 'test'")
    places = [folder / str(split) for split in found]
    train, test = (_table(place) for place in places)
    label = label_column(places[0], train, options.get("label"))
    for column in train.columns:
        if column not in test.columns:
            raise UserError(f"{places[1]}: no column '{column}'{nearest(column, test.columns)}")
    for column in test.columns:
        if column not in train.columns:
            raise UserError(
                f"{places[1]}: column '{column}' is not in the training split; expected {listed(train.columns)}"
            )
    parts = [
        _numbers_of(place, table, train.columns, label)
        for place, table in zip(places, (train, test), strict=True)
    ]
    return from_arrays(parts[0], parts[1], name)


def _table(folder: Path) -> pl.DataFrame:
    state = checked(folder / "state.json", read_object(folder / "state.json"), STATE)
    names = [each.filename for each in state.files]
    if state.indices or not names or any(Path(each).name != each for each in names):
        raise UserError(
            f"{folder}: its examples are picked out of other files; expected flatten_indices() before saving"
        )
    _require_harmless([folder / each for each in names])
    try:
        return pl.concat([pl.read_ipc_stream(folder / each) for each in names])
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        raise UserError(f"{folder}: not readable ({str(problem).partition(chr(10))[0]})") from None


def _numbers_of(
    folder: Path, table: pl.DataFrame, columns: Sequence[str], label: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Examples, of the columns in this order, and labels."""
    others = [np.asarray(_numbers(folder, table, each)) for each in columns if each != label]
    if not others:
        raise UserError(f"{folder}: no columns but '{label}'; expected numbers to tell classes by")
    x = others[0] if len(others) == 1 and others[0].ndim > 1 else np.column_stack(others)
    return x, _numbers(folder, table, label)


def _require_harmless(paths: Sequence[Path]) -> None:
    """Raise UserError for a table that ends the process that reads it, as one does that promises terabytes: it is read
    by a process of its own first."""
    done = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True)
    if done.returncode < 0:
        raise UserError(f"{paths[0].parent}: not readable (its tables are damaged)")


def _numbers(folder: Path, table: pl.DataFrame, column: str) -> NDArray[Any]:
    try:
        array = np.array(table[column].to_list())
    except ValueError:
        raise UserError(
            f"{folder}: column '{column}' has lists of different lengths; expected one shape"
        ) from None
    if array.dtype.kind not in "biuf":
        kind = table.schema[column]
        raise UserError(
            f"{folder}: column '{column}' is of type {kind}; expected numbers (images: save their pixels)"
        )
    return array
