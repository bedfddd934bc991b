"""The commands that make a run and what was found in it again, read from what its folder holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from tombola import parts
from tombola.alignment.words import RAW
from tombola.analysis.compared import compared
from tombola.analysis.connection import connections_of
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.table import SCHEMA
from tombola.runs.folder import Run
from tombola.runs.preregistration import Registration

CELL = r"^(.+):r\d+/L(\d+)/"
"""A cell as tables of comparisons call it: its run, and its level."""


def commands(run: Run) -> list[str]:
    """The commands, in order. `study.toml` is the run's own, and the engine, the device and the number of threads are
    those of its record: with these a run ends with the same bits on the same kind of processor. Of a comparison its
    table does not say which seed its nulls had, nor how many were asked for: those are left at their defaults."""
    record = run.environment.get("record", {})
    how = " ".join(f"--{key} {record[key]}" for key in ("engine", "device", "threads") if record.get(key))
    found = [f"tombola run study.toml {how}".rstrip()]
    pairs, connection = compared(run, "measures", SCHEMA), connections_of(run)
    if pairs is not None and not pairs.is_empty():
        found.append(_compare(run, pairs))
    if connection is not None:
        paths = connection.paths
        kinds, levels = _named(paths["kind"]), sorted(paths["level"].unique())
        found.append(
            f"tombola connect {run.path.name} --kinds {kinds} "
            + " ".join(f"--level {level}" for level in levels)
            + f" --alphas {paths['alpha'].n_unique()}"
        )
    return [*found, f"tombola verdicts {run.path.name}", f"tombola report {run.path.name}"]


def _compare(run: Run, pairs: pl.DataFrame) -> str:
    """The comparison of the stored table. Its levels are given where every subject is a cell of a run."""
    names = list(dict.fromkeys([*pairs["a"], *pairs["b"].drop_nulls()]))
    cells = [match for match in (re.match(CELL, name) for name in names) if match]
    runs = dict.fromkeys([run.path.name, *(cell[1] for cell in cells)])
    others = [name for name in names if not re.match(CELL, name)]
    # A row "-adjusted" comes with its measure, and cannot be asked for by itself.
    known = parts.names(MEASURES.kind)
    measures = [name for name in pairs["measure"] if name in known]
    said = f"tombola compare {' '.join([*runs, *others])} --measures {_named(measures)}"
    if aligned := [name for name in dict.fromkeys(pairs["aligned"].drop_nulls()) if name != RAW]:
        said += f" --aligned {','.join([RAW, *aligned])}"
    if cells:
        said += f" --level {','.join(map(str, sorted({int(cell[2]) for cell in cells})))}"
    return said


def _named(values: Iterable[Any]) -> str:
    return ",".join(dict.fromkeys(values))


def registered(run: Run) -> str:
    """When the hypotheses were fixed, and each change since; empty where the study has none."""
    said, before = [], ""
    for entry in Registration.of(run).history:
        when = f"after {entry['cells']} cells" if entry["cells"] else "before the first cell"
        what = "recorded" if not before else "kept" if entry["digest"] == before else "CHANGED"
        said.append(
            f"digest {entry['digest']}, {what} {entry['recorded']}, {when}, for {entry['replicates']} replicates"
        )
        before = entry["digest"]
    return "\n".join(said)
