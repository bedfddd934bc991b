"""The tables that a comparison leaves in a run's folder, and which cells they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from tombola.files import canonical, checked, read_object, read_parquet, require_columns, write_parquet
from tombola.runs.folder import Run
from tombola.runs.preregistration import hypotheses_digest

KEY = TypeAdapter[str | None](str | None)
COMPARED = "compared.json"
"""Which cells the tables of the last comparison are of, where the study asked for it."""


def compared(run: Run, name: str, columns: Mapping[str, Any]) -> pl.DataFrame | None:
    """A table that a comparison left in a run's folder (`measures`, `decisions` or `consensus`); None where there is
    none, or one without these columns, as an earlier version made it.

    Raises UserError for a file that cannot be read, or has one of the columns in another type.
    """
    path = run.path / f"{name}.parquet"
    if not path.is_file():
        return None
    frame = read_parquet(path)
    if not set(columns) <= set(frame.columns):
        return None
    require_columns(path, frame, columns)
    return frame


def keep_compared(run: Run, tables: Mapping[str, pl.DataFrame | None]) -> None:
    """Store the tables of a comparison in the place of those of the one before; what it does not have goes."""
    for name, table in tables.items():
        path = run.path / f"{name}.parquet"
        if table is None:
            path.unlink(missing_ok=True)
        else:
            write_parquet(path, table)


def key_of(run: Run) -> str:
    """What decides the tables of the comparison that a run's study asks for: that, what it claims, and the cells."""
    table = run.study.compare
    asked = [table and table.model_dump(mode="json"), hypotheses_digest(run.study.hypothesis)]
    cells = [str(cell) for cell in run.cells()]
    return hashlib.sha256(canonical([*asked, cells]).encode()).hexdigest()[:16]


def compared_key(run: Run) -> str | None:
    """What the tables of the last comparison are of; None where the study did not ask for them."""
    path = run.path / COMPARED
    return checked(path, read_object(path).get("key"), KEY) if path.is_file() else None
