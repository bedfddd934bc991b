"""Engines: ways to compute the gradients and logits of a stack. All give the same numbers, to rounding."""

from __future__ import annotations

from tombola.training.engines.base import ENGINES, Engine, choose
from tombola.training.engines.mlp import MlpEngine
from tombola.training.engines.modules import ModulesEngine
from tombola.training.engines.sparse import SparseEngine, seconds_compiling
from tombola.training.engines.stacked import StackedEngine

__all__ = [
    "ENGINES",
    "Engine",
    "MlpEngine",
    "ModulesEngine",
    "SparseEngine",
    "StackedEngine",
    "choose",
    "seconds_compiling",
]
