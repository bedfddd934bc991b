"""Tombola draws winning lottery tickets, trains them beside their controls, and writes the report."""

from __future__ import annotations

from tombola.api import Evaluation, compare, connect, draw, evaluate, prune, run, train, verdicts
from tombola.data import Dataset, from_arrays
from tombola.errors import UserError
from tombola.lottery import Ticket
from tombola.masks import Mask, PruneRule
from tombola.study import Pruning, Run, Study, Sweep, SweepRun, load_study, load_sweep
from tombola.training import Recipe

__all__ = [
    "Dataset",
    "Evaluation",
    "Mask",
    "PruneRule",
    "Pruning",
    "Recipe",
    "Run",
    "Study",
    "Sweep",
    "SweepRun",
    "Ticket",
    "UserError",
    "compare",
    "connect",
    "draw",
    "evaluate",
    "from_arrays",
    "load_study",
    "load_sweep",
    "prune",
    "run",
    "train",
    "verdicts",
]
