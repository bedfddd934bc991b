"""A cell's history.parquet."""

from __future__ import annotations

from fuzz.in_run import CELL, of_file

TARGET = of_file(f"{CELL}/history.parquet")
