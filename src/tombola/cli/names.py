"""Names that the tab key and `--help` know without importing what they belong to.

They are written down in `parts.json`, which `python -m tombola.cli.kinds` makes anew from the registries; a test
holds the two equal. What a plug-in registers is taken by every command all the same, and read in its source: a key
press runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

FILE = Path(__file__).parents[1] / "parts.json"
FAMILIES = "families"
"""Families of measures: names, but no kind of the catalogue."""
IMPORTS: list[str] = []
"""What `--import` names on the command line so far."""
PRESETS = Path(__file__).parents[1] / "study" / "presets"


def kinds() -> list[str]:
    """The kinds that `tombola catalog` takes."""
    return [*(kind for kind in _read() if kind != FAMILIES), "recipes", "presets"]


def names(kind: str, imports: Sequence[str] = ()) -> list[str]:
    """The names of a kind; `imports` are read for further ones."""
    if kind in ("presets", "recipes"):
        return [path.stem for path in sorted(PRESETS.glob("*.toml"))]
    return [*_read()[kind], *_of_plug_ins(kind, imports)]


def _of_plug_ins(kind: str, imports: Sequence[str]) -> list[str]:
    from importlib.metadata import entry_points  # here: `--help` does not wait for it

    announced = [point.module for point in entry_points(group="tombola.plugins")]
    if not IMPORTS and not announced and not imports:
        return []
    from tombola.plugins.registered import registered

    return registered(dict.fromkeys([*IMPORTS, *announced, *imports])).get(kind, [])


def _read() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(FILE.read_text())["names"]
    return found
