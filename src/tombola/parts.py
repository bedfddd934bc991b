"""What validation asks of named parts, without importing what they belong to.

It is written down in `parts.json`, which `python -m tombola.cli.kinds` makes anew from the registries; a test holds the
two equal. What a plug-in registers is known as well: its registry is imported by then.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tombola.errors import UserError, nearest
from tombola.registry import OPEN

FILE = Path(__file__).with_name("parts.json")


def names(kind: str) -> list[str]:
    """The names of the parts of a kind, sorted."""
    return sorted({*_table().get(kind, ()), *(name for registry in OPEN[kind] for name in registry.so_far)})


def facts(kind: str, name: str) -> Any:
    """The facts of a part, see `Registry.facts`. Raises UserError for an unknown name, with the nearest one."""
    if name in _table()[kind]:
        return _table()[kind][name]
    for registry in OPEN[kind]:
        if name in registry.so_far:
            return registry.facts(name)
    raise UserError(f"unknown {kind} '{name}'{nearest(name, names(kind))}")


@cache
def _table() -> dict[str, dict[str, Any]]:
    """Kind -> name -> facts."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["facts"]
    return found
