"""Tombola draws winning lottery tickets, trains them beside their controls, and writes the report."""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "Dataset": "data.dataset",
    "Evaluation": "networks",
    "Mask": "masks.mask",
    "PruneRule": "masks.rule",
    "Pruning": "study.pruning",
    "Recipe": "training.recipe",
    "Run": "runs.folder",
    "Study": "study.spec",
    "Sweep": "study.sweep",
    "SweepRun": "runs.sweeps",
    "Ticket": "lottery.ticket",
    "UserError": "errors",
    "compare": "api",
    "connect": "api",
    "draw": "networks",
    "evaluate": "networks",
    "from_arrays": "data.arrays",
    "load_study": "study.load",
    "load_sweep": "study.load",
    "open_run": "reading",
    "prune": "networks",
    "results": "reading",
    "run": "api",
    "status": "reading",
    "to_pandas": "reading",
    "train": "networks",
    "trust": "reading",
    "verdicts": "reading",
    "write_report": "api",
}
"""The module that each public name comes from. It is imported when the name is first asked for, so that neither
`import tombola` nor the command line waits for torch. Type checkers read `__init__.pyi`, which says the same."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tombola' has no attribute '{name}'")
    found = getattr(import_module(f"tombola.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
