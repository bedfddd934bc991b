"""A run's compared.json, the digests of the tables of its last comparison."""

from __future__ import annotations

from fuzz.in_run import of_json

TARGET = of_json("compared.json")
