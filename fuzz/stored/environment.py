"""A run's environment.json."""

from __future__ import annotations

from fuzz.in_run import of_json

TARGET = of_json("environment.json")
