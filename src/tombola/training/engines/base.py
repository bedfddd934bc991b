"""What every engine does, and which one a network gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from tombola.data import Resident
from tombola.errors import UserError
from tombola.models import Architecture
from tombola.registry import Registry
from tombola.training.batches import Batches
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.trainer import Steps, Trainer


class Engine(ABC):
    """Computes with a stack's tensors in place.

    `groups[r]` is the batch that network r sees: x is [G, batch, *shape] and y is [G, batch]; when G is 1
    all networks see the one batch.
    """

    name: ClassVar[str]
    chunk: ClassVar[int]
    """Examples per forward pass in evaluation."""
    stack_size: ClassVar[int]
    """Networks worth training together on a CPU."""
    stack: Stack
    groups: Sequence[int] | Tensor

    @abstractmethod
    def __init__(
        self, architecture: Architecture, stack: Stack, groups: Sequence[int], dropout_keys: Sequence[int]
    ) -> None: ...

    @staticmethod
    @abstractmethod
    def holds(architecture: Architecture, device: torch.device) -> bool:
        """Whether this engine can train the architecture on the device."""
        ...

    def trainer(self, recipe: Recipe, batches: Batches, data: Resident) -> Trainer:
        """What advances this engine's stack; by default one step after the other through `backward`."""
        return Steps(self, recipe, batches, data)

    @abstractmethod
    def backward(self, x: Tensor, y: Tensor, iteration: int) -> None:
        """Leave the gradient of each network's mean cross-entropy in `.grad` of the stack's parameters."""
        ...

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode: [R, batch, classes]."""
        ...


ENGINES: Registry[type[Engine]] = Registry("engine")

PREFERENCE = ("sparse", "mlp", "modules")
"""Which engine "auto" takes: the first that holds the network. The order is fixed, not timed afresh for every run,
so that equal runs have equal bits; `tombola bench` times it."""


def choose(name: str, architecture: Architecture, device: torch.device) -> type[Engine]:
    """The engine called `name`, or for "auto" the first of PREFERENCE that holds the architecture.

    Raises UserError when the named engine cannot hold it.
    """
    if name == "auto":
        return next(ENGINES[n] for n in PREFERENCE if ENGINES[n].holds(architecture, device))
    engine = ENGINES[name]
    if not engine.holds(architecture, device):
        raise UserError(
            f"engine '{name}' cannot hold {architecture.name} on {device.type}: {ENGINES.describe(name)}"
        )
    return engine
