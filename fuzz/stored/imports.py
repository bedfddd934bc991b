"""A run's imports.json: what was known of parts of one's own."""

from __future__ import annotations

from fuzz.in_run import of_json

CRITERION = {"line": "A criterion.", "facts": {"probe": True, "rounds": 2}}
ARM = {"line": "", "facts": {"mask": "ticket", "weights": "rewind", "dead": "zero"}}
MEASURE = {
    "adjusted": True,
    "null": None,
    "of_outputs": False,
    "ordered": True,
    "reads": "masks",
    "subjects": 2,
    "tensorwise": True,
}
PARTS = {"criterion": {"own": CRITERION}, "arm": {"mine": ARM}, "measure": {"m": {"facts": MEASURE}}}
TARGET = of_json("imports.json", {"imports": {"own.py": "0" * 16}, "parts": PARTS})
