"""A cell's timing.json."""

from __future__ import annotations

from fuzz.in_run import CELL, of_json

TARGET = of_json(f"{CELL}/timing.json")
