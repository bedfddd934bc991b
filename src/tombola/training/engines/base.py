"""What every engine does, and which one a network gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.models import Architecture
from tombola.registry import Registry
from tombola.training.stack import Stack


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
    groups: Sequence[int] | Tensor

    @abstractmethod
    def __init__(
        self, architecture: Architecture, stack: Stack, groups: Sequence[int], dropout_keys: Sequence[int]
    ) -> None: ...

    @staticmethod
    @abstractmethod
    def holds(architecture: Architecture) -> bool:
        """Whether this engine can train the architecture."""
        ...

    @abstractmethod
    def backward(self, x: Tensor, y: Tensor, iteration: int) -> None:
        """Leave the gradient of each network's mean cross-entropy in `.grad` of the stack's parameters."""
        ...

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode: [R, batch, classes]."""
        ...


ENGINES: Registry[type[Engine]] = Registry("engine")


def choose(name: str, architecture: Architecture, device: torch.device) -> type[Engine]:
    """The engine called `name`, or for "auto" the first that holds the architecture.

    Raises UserError when the named engine cannot hold it.
    """
    if name == "auto":
        return ENGINES["mlp"] if ENGINES["mlp"].holds(architecture) else ENGINES["modules"]
    engine = ENGINES[name]
    if not engine.holds(architecture):
        raise UserError(f"engine '{name}' cannot hold {architecture.name}: {ENGINES.describe(name)}")
    return engine
