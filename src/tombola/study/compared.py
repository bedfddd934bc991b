"""The tables that a comparison leaves in the folder of a run: `measures`, `decisions` and `consensus`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from tombola.errors import UserError
from tombola.study.store import Run
from tombola.study.writing import write_parquet


def compared(run: Run, name: str, columns: Collection[str]) -> pl.DataFrame | None:
    """A table that a comparison left in a run's folder (`measures`, `decisions` or `consensus`); None where there is
    none, or one without these columns, as an earlier version made it.

    Raises UserError for a file that cannot be read.
    """
    path = run.path / f"{name}.parquet"
    if not path.is_file():
        return None
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as problem:
        first = str(problem).partition("\n")[0]
        raise UserError(f"{path}: not a readable parquet file ({first})") from None
    return frame if set(columns) <= set(frame.columns) else None


def keep_compared(run: Run, tables: Mapping[str, pl.DataFrame | None]) -> None:
    """Store the tables of a comparison in the place of those of the one before; what it does not have goes."""
    for name, table in tables.items():
        path = run.path / f"{name}.parquet"
        if table is None:
            path.unlink(missing_ok=True)
        else:
            write_parquet(path, table)
