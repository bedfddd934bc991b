"""A run's verdicts.json."""

from __future__ import annotations

from fuzz.in_run import of_json

TARGET = of_json("verdicts.json")
