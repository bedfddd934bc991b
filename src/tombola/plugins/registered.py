"""The names that code of one's own registers, read in its source: for the tab key, which runs nothing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tombola.plugins.source import Code

REGISTRIES = {
    "MODELS": "models",
    "DATASETS": "data",
    "CRITERIA": "criteria",
    "SCHEDULES": "schedules",
    "ARMS": "arms",
    "MASK_ACTIONS": "mask-actions",
    "WEIGHT_ACTIONS": "weights-actions",
    "DEAD_ACTIONS": "dead-actions",
    "MEASURES": "measures",
    "ROUTES": "routes",
}
"""Registry -> what `tombola catalog` calls its kind."""
CALLS = {"figure": "figures", "route": "routes"}
"""Functions that register what they decorate."""


def registered(imports: Iterable[str]) -> dict[str, list[str]]:
    """Kind -> names, in the files and modules named."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in imports:
        path = Code(name).file
        if path is not None and path.is_file() and path.suffix == ".py":
            for kind, part in _in(path):
                found[kind].append(part)
    return found


def _in(path: Path) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name, called = node.args[0], node.func
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            continue
        if isinstance(called, ast.Attribute) and called.attr == "register":
            where = (
                called.value.id if isinstance(called.value, ast.Name) else getattr(called.value, "attr", "")
            )
            if kind := REGISTRIES.get(where):
                yield kind, name.value
        elif isinstance(called, ast.Name) and called.id in CALLS:
            yield CALLS[called.id], name.value
