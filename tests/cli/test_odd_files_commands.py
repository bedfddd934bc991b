"""A stored file that is whole as JSON or parquet and holds something of another type: a sentence, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.faults import FAULTS
from support.program import Tombola

CELL = "cells/r0/L01/ticket/0"
PLACES = {
    "cell": f"{CELL}/cell.json",
    "timing": f"{CELL}/timing.json",
    "environment": "environment.json",
    "hypotheses": "hypotheses.json",
    "history": f"{CELL}/history.parquet",
}
COMMANDS = [("status",), ("results",), ("verdicts",), ("report", "--format", "md")]
Change = Callable[[Any], Any]


def refused(tombola: Tombola, done: Path, place: str, *sentences: str) -> None:
    """Every command that reads the file says so in one line; at least one does read it."""
    said = [tombola(command, str(done), *rest) for command, *rest in COMMANDS]
    assert {each.code for each in said} <= {0, 2}
    wrong = [each for each in said if each.code]
    assert wrong
    for each in wrong:
        assert each.err.count("\n") == 1
        assert f"{done / place}: " in each.err
        for sentence in sentences:
            assert sentence in each.err


def put(key: str, value: Any) -> Change:
    """A JSON object with something else at a dotted key."""

    def change(table: Any) -> Any:
        inner = table
        *front, last = key.split(".")
        for name in front:
            inner = inner[name]
        inner[last] = value
        return table

    return change


def less(key: str) -> Change:
    return lambda table: {name: value for name, value in table.items() if name != key}


ODD: dict[str, tuple[str, Change, str]] = {
    "a start that is a number": ("cell", put("start", 1), "broken at 'start'"),
    "a start without a digest": ("cell", put("start", {"living": False}), "'start.digest'"),
    "a start elsewhere": ("cell", put("start.digest", "../../../etc/passwd"), "'start.digest'"),
    "a density in a list": (
        "cell",
        put("density", [None]),
        "'density' (input should be a valid number; found [None])",
    ),
    "a density in words": ("cell", put("density", "0.8"), "'density'"),
    "half a weight": ("cell", put("alive", {"fc1.weight": 2.5}), "'alive.fc1.weight'"),
    "a number beyond 64 bits": ("cell", put("iterations", 1 << 70), "a whole number of more than 64 bits"),
    "no arm": ("cell", less("arm"), "broken at 'cell.arm'"),
    "another cell": ("cell", put("replicate", 1), "the record of another cell, r1/L01/ticket/0"),
    "another status": ("cell", put("status", "fine"), "broken at 'status'"),
    "half a character": ("cell", put("arm", "\ud800"), "half a character"),
    "a list": ("cell", lambda table: [table], "expected a JSON object, found list"),
    "nested": ("cell", put("start", json.loads("[" * 500 + "]" * 500)), "nested more than 32 deep"),
    "seconds in words": ("timing", put("seconds", "../../../../etc/x"), "broken at 'seconds'"),
    "seconds before": ("timing", put("seconds", -1), "broken at 'seconds'"),
    "a text": ("timing", lambda table: "<script>", "expected a JSON object, found str"),
    "versions in a list": ("environment", put("versions", [[]]), "broken at 'versions'"),
    "a table of pythons": ("environment", put("python", {"a": {"b": 1}}), "broken at 'python'"),
    "stacks that are numbers": ("environment", put("record.stacks", [[1]]), "broken at 'record.stacks.0.0'"),
    "threads in words": ("environment", put("record.threads", "2"), "broken at 'record.threads'"),
    "a network in words": ("environment", put("network", "lenet"), "broken at 'network'"),
    "arms in a list": ("environment", put("study.arms", []), "broken at 'study.arms'"),
    "a density that is none": ("hypotheses", put("densities", [1.0, False]), "broken at 'densities.1'"),
    "a density beyond 1": ("hypotheses", put("densities", [1.0, 1e30]), "broken at 'densities.1'"),
    "hypotheses in words": ("hypotheses", put("history", [{"hypotheses": "x"}]), "broken at 'history.0."),
    "a history of lists": ("hypotheses", put("history", [[]]), "broken at 'history.0'"),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_json_file_of_odd_types_is_named_with_what_is_wrong(tombola: Tombola, done: Path, odd: str) -> None:
    kind, change, sentence = ODD[odd]
    path = done / PLACES[kind]
    table = json.loads(path.read_text()) if path.is_file() else {"densities": [1.0], "history": []}
    path.write_text(json.dumps(change(table)))
    refused(tombola, done, PLACES[kind], sentence)


@pytest.mark.parametrize(
    ("column", "kind", "sentence"),
    [
        ("loss", pl.String, "column 'loss' is String, expected Float64"),
        ("iteration", pl.Float64, "column 'iteration' is Float64, expected Int64"),
        ("split", None, "column 'split' is missing, expected String"),
    ],
)
def test_a_history_of_other_columns_is_named(
    tombola: Tombola, done: Path, column: str, kind: Any, sentence: str
) -> None:
    path = done / PLACES["history"]
    frame = pl.read_parquet(path)
    (frame.cast({column: kind}) if kind else frame.drop(column)).write_parquet(path)
    refused(tombola, done, PLACES["history"], sentence)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("verdicts.json", {"verdicts": [1]}),
        ("verdicts.json", {"verdicts": {"name": 1}}),
        ("compared.json", {"key": [1]}),
        ("compared.json", "key"),
    ],
)
def test_what_later_commands_left_may_be_odd_too(tombola: Tombola, done: Path, name: str, table: Any) -> None:
    (done / name).write_text(json.dumps(table))
    for command, *rest in COMMANDS:
        said = tombola(command, str(done), *rest)
        assert said.code == 0 or f"{done / name}: " in said.err


@pytest.mark.parametrize(
    "file",
    sorted(file for kind in PLACES for file in FAULTS.glob(f"{kind}-*")),
)
def test_files_that_ended_in_a_traceback_are_named(tombola: Tombola, done: Path, file: Path) -> None:
    place = PLACES[file.name.partition("-")[0]]
    (done / place).write_bytes(file.read_bytes())
    refused(tombola, done, place)
