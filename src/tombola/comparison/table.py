"""The rows of the table of pairs: its columns, and how a value beside its null is written down."""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from tombola.comparison.measures.base import MEASURES
from tombola.comparison.requests import Question
from tombola.comparison.significance import BesideNull

SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "layer": pl.String,
    "measure": pl.String,
    "side": pl.String,
    "aligned": pl.String,
    "null": pl.String,
    "n_null": pl.Int64,
    "value": pl.Float64,
    "expected": pl.Float64,
    "z": pl.Float64,
    "p": pl.Float64,
}
Row = dict[str, str | int | float | None]


def judged_rows(
    names: tuple[str, str | None], layer: str, question: Question, alignment: str, judged: BesideNull
) -> Iterator[Row]:
    """The row of a value that was judged by samples, and where the measure has one that of the adjusted value."""
    yield row(names, layer, question, alignment, judged)
    if MEASURES[question.measure].adjusted:
        yield row(names, layer, question, alignment, _adjusted(judged), "-adjusted")


def _adjusted(judged: BesideNull) -> BesideNull:
    """(value - expected) / (1 - expected), which is 0 where the value is that of chance; z and p stay."""
    room = 1 - judged.expected
    value = (judged.value - judged.expected) / room if room > 0 else math.nan
    return BesideNull(judged.n_null, value, 0.0, judged.z, judged.p)


def row(
    names: tuple[str, str | None],
    layer: str,
    question: Question,
    alignment: str,
    judged: BesideNull,
    suffix: str = "",
) -> Row:
    """The row of a value: what was measured of whom and where, and the numbers, None for NaN."""
    numbers = {"value": judged.value, "expected": judged.expected, "z": judged.z, "p": judged.p}
    return {
        "a": names[0],
        "b": names[1],
        "layer": layer,
        "measure": question.measure + suffix,
        "side": question.side,
        "aligned": alignment,
        "null": question.null,
        "n_null": judged.n_null,
        **{key: None if math.isnan(number) else float(number) for key, number in numbers.items()},
    }
