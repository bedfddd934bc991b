"""Files that once ended in a traceback, a hang or a crash; each is called by the target of `fuzz` that it is for."""

from __future__ import annotations

from pathlib import Path

FAULTS = Path(__file__).parents[1] / "faults"
