"""What every part of a comparison calls its sides, no alignment, and the whole network."""

from __future__ import annotations

from typing import Literal

Side = Literal["start", "end"]
SIDES: tuple[Side, ...] = ("start", "end")
END: Side = "end"
"""The trained weights."""
RAW = "raw"
"""The alignment that leaves units as they come."""
WHOLE = "all"
"""The layer that stands for the whole network."""
