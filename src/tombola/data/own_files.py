"""Tables of numbers in files of one's own, and what all data sets of that kind share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.errors import UserError, nearest
from tombola.seeds import stream

LABELS = ("label", "labels", "class", "target", "y")
"""Columns that hold labels where none is named."""
TRAIN, TEST = ("train", "training"), ("test", "valid", "validation", "val")
"""Names of parts, best first."""
FIFTH = 5
"""One example in so many is a test example, where the files do not say which are."""


def read_csv(name: str, given: str) -> Dataset:
    """`csv:FILE` or `csv:FILE?label=COLUMN&split=COLUMN`: a column of labels, which may be words, the others numbers.

    `split` says of each row whether it is a `train` or a `test` one; without it a fifth are test examples, always the
    same. Raises UserError that names file and column.
    """
    file, options = options_of(name, given, ("label", "split"))
    path = Path(file).expanduser()
    try:
        table = pl.read_csv(path, infer_schema_length=None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a table of comma-separated values") from None
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        raise UserError(f"{path}: not a readable table ({str(problem).partition(chr(10))[0]})") from None
    label = label_column(path, table, options.get("label"))
    parts = None
    if split := options.get("split"):
        _require_column(path, table, split)
        parts, table = table[split].cast(pl.String), table.drop(split)
    x = table.drop(label)
    for column, kind in x.schema.items():
        if not kind.is_numeric() or x[column].null_count():
            what = f"{x[column].null_count()} empty fields" if kind.is_numeric() else f"type {kind}"
            raise UserError(
                f"{path}: column '{column}' has {what}; expected numbers, or leave the column out"
            )
    if not x.width:
        raise UserError(f"{path}: no columns but '{label}'; expected numbers to tell classes by")
    labels = table[label].to_list()
    if empty := [row for row, each in enumerate(labels, 1) if _is_empty(each)]:
        raise UserError(
            f"{path}: row {empty[0]} has an empty label in column '{label}'; expected a class, or leave the row out"
        )
    y = _numbered(labels)
    x = x.cast({pl.Int128: pl.Float64})  # which numpy has not
    return split_off(name, x.to_numpy().astype(np.float32), y, None if parts is None else _tests(path, parts))


def _is_empty(label: Any) -> bool:
    """Whether there is no label: nothing, no text, or NaN, which is unlike itself."""
    return label is None or label == "" or label != label


def options_of(name: str, given: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The path in a name such as FILE?KEY=VALUE&KEY, and what is said after it. Raises UserError for another key."""
    path, _, said = given.partition("?")
    options = dict(part.partition("=")[::2] for part in said.split("&") if part)
    if wrong := [key for key in options if key not in known]:
        raise UserError(f"{name}: unknown option '{wrong[0]}'{nearest(wrong[0], known)}")
    return path, options


def label_column(path: Path, table: pl.DataFrame, named: str | None) -> str:
    """The column of labels. Raises UserError where none is named and none is called as labels are."""
    if named is not None:
        _require_column(path, table, named)
        return named
    found = [column for column in LABELS if column in table.columns]
    if not found:
        raise UserError(
            f"{path}: which column holds the labels? expected 'csv:{path}?label=COLUMN', one of: "
            f"{', '.join(table.columns)}"
        )
    return found[0]


def _require_column(path: Path, table: pl.DataFrame, name: str) -> None:
    if name not in table.columns:
        raise UserError(f"{path}: no column '{name}'{nearest(name, table.columns)}")


def _tests(path: Path, parts: pl.Series) -> NDArray[np.bool_]:
    """Which rows are test examples."""
    for row, part in enumerate(parts):
        if part not in (*TRAIN, *TEST):
            raise UserError(f"{path}: row {row + 1} is of part '{part}'; expected 'train' or 'test'")
    return np.array([part in TEST for part in parts])


def _numbered(labels: Iterable[Any]) -> NDArray[np.int64]:
    """Labels as 0, 1, 2, ... in the order of their values."""
    labels = list(labels)
    known = {
        label: number
        for number, label in enumerate(sorted(set(labels), key=lambda each: (str(type(each)), each)))
    }
    return np.array([known[label] for label in labels], dtype=np.int64)


def tests_among(count: int) -> NDArray[np.bool_]:
    """Which of so many examples are test ones where nothing says so: a fifth, the same for every study."""
    test = np.zeros(count, dtype=bool)
    test[stream("own files", "test").permutation(count)[: count // FIFTH]] = True
    return test


def split_off(name: str, x: NDArray[Any], y: NDArray[np.int64], test: NDArray[np.bool_] | None) -> Dataset:
    """The data set; a fifth of the examples are test ones where it is not said which, the same for every study."""
    test = tests_among(len(x)) if test is None else test
    return from_arrays((x[~test], y[~test]), (x[test], y[test]), name)
