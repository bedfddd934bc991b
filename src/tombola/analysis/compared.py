"""The tables that a comparison leaves in a run's folder, and which cells they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from tombola.errors import UserError
from tombola.files import (
    canonical,
    checked,
    read_object,
    read_parquet,
    require_columns,
    sweep,
    write_json,
    write_parquet,
)
from tombola.runs.folder import Run
from tombola.runs.preregistration import hypotheses_digest
from tombola.seals import digest_of_file, require_digest, sealed, unsealed

KEY = TypeAdapter[str | None](str | None)
COMPARED = "compared.json"
"""The digests of the tables of the last comparison and, where the study asked for it, which cells they are of."""
ASKED = "asked.json"
"""The same of `asked.parquet`: rows that hypotheses asked for, and that the comparison does not hold."""
DIGESTS = TypeAdapter[dict[str, str]](dict[str, str])


def compared(run: Run, name: str, columns: Mapping[str, Any]) -> pl.DataFrame | None:
    """A table that a comparison left in a run's folder (`measures`, `decisions` or `consensus`); None where there is
    none, or one without these columns, as an earlier version made it.

    Raises UserError for a file that cannot be read, is damaged, or has one of the columns in another type.
    """
    return stored_table(run.path / f"{name}.parquet", COMPARED, columns, "compare again")


def stored_table(path: Path, index: str, columns: Mapping[str, Any], advice: str) -> pl.DataFrame | None:
    """A table whose digest is in an index beside it; see `compared`. The advice ends what is said of damage."""
    found = _index(path.with_name(index))
    digests = checked(path.with_name(index), found.get("digests", {}), DIGESTS)
    if not path.is_file() and path.name not in digests:
        return None
    try:
        require_digest(path, digests.get(path.name))
    except UserError as problem:
        raise UserError(f"{problem}; {advice}") from None
    frame = read_parquet(path)
    if not set(columns) <= set(frame.columns):
        return None
    require_columns(path, frame, columns)
    return frame


def _index(path: Path) -> dict[str, Any]:
    return unsealed(path, read_object(path), path.name) if path.is_file() else {}


def keep_tables(
    folder: Path, index: str, tables: Mapping[str, pl.DataFrame | None], key: str | None = None
) -> None:
    """Store tables in the place of those before them, and their digests in the index; what there is none of goes.
    Without an index, which goes first and comes last, tables are not believed to be of one comparison."""
    sweep(folder, ".*.tmp")
    (folder / index).unlink(missing_ok=True)
    digests = {}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if table is None:
            path.unlink(missing_ok=True)
        else:
            write_parquet(path, table)
            digests[path.name] = digest_of_file(path)
    write_json(folder / index, sealed({"digests": digests, **({"key": key} if key else {})}, index))


def key_of(run: Run) -> str:
    """What decides the tables of the comparison that a run's study asks for: that, what it claims, and the cells with
    what they hold; of cells without a digest, their names."""
    table = run.study.compare
    asked = [table and table.model_dump(mode="json"), hypotheses_digest(run.study.hypothesis)]
    seals = {cell: run.record(cell).seal for cell in run.cells()}
    cells = [str(cell) if seal is None else [str(cell), seal] for cell, seal in seals.items()]
    return hashlib.sha256(canonical([*asked, cells]).encode()).hexdigest()[:16]


def compared_key(run: Run, index: str = COMPARED) -> str | None:
    """What the tables of an index are of, the last comparison's; None where the study did not ask for them."""
    path = run.path / index
    return checked(path, _index(path).get("key"), KEY)
