"""A cell's cell.json, in a run that is read by all that reads runs."""

from __future__ import annotations

from fuzz.in_run import CELL, of_json

TARGET = of_json(f"{CELL}/cell.json")
