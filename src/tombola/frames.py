"""Tables for those who work with pandas."""

from __future__ import annotations

from typing import Any

import polars as pl

from tombola.errors import UserError


def pandas_of(frame: pl.DataFrame) -> Any:
    """The same table as a pandas.DataFrame. Raises UserError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UserError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
    return pandas.DataFrame(frame.to_dict(as_series=False))
