"""All targets by name."""

from __future__ import annotations

import importlib
import pkgutil

from fuzz import foreign, stored
from fuzz.target import Target

PLACES = {
    each.name: f"{package.__name__}.{each.name}"
    for package in (foreign, stored)
    for each in pkgutil.iter_modules(package.__path__)
}
"""Name -> module."""


def named(name: str) -> Target:
    """The target of a name, which imports what it reads with."""
    found: Target = importlib.import_module(PLACES[name]).TARGET
    return found
