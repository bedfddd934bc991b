"""Tombola draws winning lottery tickets, trains them beside their controls, and writes the report."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_HOMES = {
    "Dataset": "data",
    "Evaluation": "api",
    "Mask": "masks",
    "PruneRule": "masks",
    "Pruning": "study",
    "Recipe": "training",
    "Run": "study",
    "Study": "study",
    "Sweep": "study",
    "SweepRun": "study",
    "Ticket": "lottery",
    "UserError": "errors",
    "compare": "api",
    "connect": "api",
    "draw": "api",
    "evaluate": "api",
    "from_arrays": "data",
    "load_study": "study",
    "load_sweep": "study",
    "prune": "api",
    "run": "api",
    "train": "api",
    "verdicts": "api",
}
"""The module that each public name comes from. It is imported when the name is first asked for, so that neither
`import tombola` nor the command line waits for torch. Type checkers read `__init__.pyi`, which says the same."""

_ROOMS = (
    "api", "data", "errors", "files", "lottery", "masks", "models", "registry", "seeds", "study", "training", "views",
)  # fmt: skip
"""Modules that are there as attributes (`tombola.data.DATASETS`) without an import of their own."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"tombola.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tombola' has no attribute '{name}'")
    found = getattr(import_module(f"tombola.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})


class _Front(ModuleType):
    """This module's class. Whoever imports the package `tombola.compare` has Python set the attribute `compare` of its
    parent to it; the name is the function's, as it was when that was imported at once."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front
