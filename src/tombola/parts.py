"""What validation asks of named parts, without importing what they belong to.

It is written down in `parts.json`, which `python -m tombola.cli.kinds` makes anew from the registries; a test holds the
two equal. What a plug-in registers is known as well: its registry is imported by then. What was registered when a run
was made is remembered from its folder, so that reading it needs no plug-in.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from tombola.errors import UserError, nearest
from tombola.registry import OPEN, load_announced

FILE = Path(__file__).with_name("parts.json")
REMEMBERED: defaultdict[str, dict[str, tuple[Any, str]]] = defaultdict(dict)
"""Kind -> name -> facts and a line, of parts that stored runs were made with."""


def names(kind: str) -> list[str]:
    """The names of the parts of a kind, sorted."""
    registered = (name for registry in OPEN[kind] for name in registry.so_far)
    return sorted({*_table().get(kind, ()), *registered, *REMEMBERED[kind]})


def facts(kind: str, name: str) -> Any:
    """The facts of a part, see `Registry.facts`. Raises UserError for an unknown name, with the nearest one."""
    if name in (table := _table().get(kind, {})):
        return table[name]
    for found in (*_registered(kind, name), *REMEMBERED[kind].get(name, ())[:1]):
        return found
    load_announced()
    for found in _registered(kind, name):
        return found
    raise UserError(f"unknown {kind} '{name}'{nearest(name, names(kind))}")


def remember(kind: str, name: str, facts: Any, line: str = "", *, certain: bool = True) -> None:
    """Note what a stored run says of a part that it was made with; what is registered goes before it. Raises UserError
    where the run is `certain` of it, and a part of that name is known that is another one: what is asked of a name has
    one answer in a process."""
    known_so = (*_registered(kind, name), *REMEMBERED[kind].get(name, ())[:1]) if certain else ()
    for known in known_so if name not in _table().get(kind, ()) else ():
        if json.dumps(known, sort_keys=True) != json.dumps(facts, sort_keys=True):
            raise UserError(
                f"{kind} '{name}' of this run is {_told(facts)}, and this process knows another one of that name, "
                f"{_told(known)}; read the run in a process of its own"
            )
    REMEMBERED[kind].setdefault(name, (facts, line))


def _told(facts: Any) -> str:
    """Facts in short."""
    return (
        ", ".join(f"{key} {value}" for key, value in facts.items()) if isinstance(facts, dict) else str(facts)
    )


def line(kind: str, name: str) -> str:
    """What a part is, in a line; empty where only its name is known."""
    for registry in OPEN[kind]:
        if name in registry.so_far:
            return registry.describe(name)
    return REMEMBERED[kind].get(name, (None, ""))[1]


def _registered(kind: str, name: str) -> list[Any]:
    return [registry.facts(name) for registry in OPEN[kind] if name in registry.so_far]


@cache
def _table() -> dict[str, dict[str, Any]]:
    """Kind -> name -> facts."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["facts"]
    return found
