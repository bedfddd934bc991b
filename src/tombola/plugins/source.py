"""Code that a study, a ticket or the command line names, and its sources. Nothing here runs any of it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

MOST = 500
"""Files that are followed from one on."""
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Code:
    """`package.module:function`, `FILE.py:function`, `package.module` or `FILE.py`, with the options that a function
    is called with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """The file that is run first, relative to the current folder where it was named so; None where there is none
        (a module that is built into Python, or written in a notebook)."""
        place = self.name.partition(":")[0]
        return Path(place).expanduser() if is_file(place) else located(place)

    @property
    def call(self) -> str:
        """Name and options as one text."""
        return json.dumps([self.name, dict(self.options)], sort_keys=True)

    def digest(self) -> str:
        """16 hex digits over its sources: the file, and what it imports from its own folder or package. Of what is
        installed it is the file alone, of what has no file nothing."""
        sha = hashlib.sha256()
        if self.file is not None:
            for path in _followed(self.file):
                sha.update(hashlib.sha256(path.read_bytes()).digest())
        return sha.hexdigest()[:16]

    def __str__(self) -> str:
        """`os:system` with command='true'."""
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"'{self.name}'" + (f" with {options}" if options else "")


def is_file(name: str) -> bool:
    """Whether this names a file rather than a module."""
    return name.endswith(".py") or os.sep in name


def located(module: str) -> Path | None:
    """The file of a module, the current folder being searched last. Nothing is imported, not even its package."""
    places: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    if not all(parts):
        return None
    for depth in range(len(parts)):
        spec = _found(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin) if origin else None


def _found(name: str, places: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        found: ModuleSpec | None = find(name, places) if find else None
        if found is not None:
            return found
    return PathFinder.find_spec(name, [os.getcwd()]) if places is None else None


def installed(path: Path) -> bool:
    """Whether a file is of an installed package or of Python."""
    return any(part in INSTALLED for part in path.parts) or path.is_relative_to(sysconfig.get_path("stdlib"))


def _followed(first: Path) -> list[Path]:
    """The files that a digest is over, in the order of their names."""
    if installed(first):
        return [first]
    root = first.resolve().parent
    while (root / "__init__.py").is_file() and root.parent != root:
        root = root.parent
    seen, waiting = set[Path](), [first.resolve()]
    while waiting and len(seen) < MOST:
        path = waiting.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            waiting += _imported_by(path, root)
    return sorted(seen)


def _imported_by(path: Path, root: Path) -> Iterator[Path]:
    """The files below a folder that a file imports, and those of the packages around it."""
    yield from (folder / "__init__.py" for folder in path.parents if folder.is_relative_to(root))
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _candidates(root, alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else root
            yield from _candidates(start, node.module or "")
            for alias in node.names:
                yield from _candidates(start, ".".join(filter(None, (node.module, alias.name))))


def _candidates(folder: Path, module: str) -> Iterator[Path]:
    """Where the file of a module and those of its packages would be."""
    place = folder
    for part in filter(None, module.split(".")):
        place = place / part
        yield place.with_suffix(".py")
        yield place / "__init__.py"
