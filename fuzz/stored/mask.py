"""A cell's mask.safetensors."""

from __future__ import annotations

from fuzz.in_run import CELL, of_file
from fuzz.trees import SAFETENSORS

TARGET = of_file(f"{CELL}/mask.safetensors", tree=SAFETENSORS)
