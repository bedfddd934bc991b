"""A run's hypotheses.json."""

from __future__ import annotations

from fuzz.in_run import of_json

TARGET = of_json("hypotheses.json")
