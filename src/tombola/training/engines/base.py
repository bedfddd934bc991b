"""What every engine does, and which one a network gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.metrics import ACCURACY, Metric
from tombola.models.architecture import Architecture
from tombola.registry import Registry
from tombola.training.batches import Batches
from tombola.training.parallel import Ranks
from tombola.training.recipe import CROSS_ENTROPY, TORCH, Recipe
from tombola.training.scoring import Examples, Score, evaluate
from tombola.training.stack import Stack

PLAIN = Recipe()
"""The recipe where networks are only measured: float32, nothing smoothed or augmented."""


@dataclass(frozen=True)
class Demand:
    """What an engine is asked for beside a network: the arithmetic and the loss of a `recipe`, and its augmentation."""

    recipe: Recipe = PLAIN
    pinned: bool = False
    """Some network freezes dead weights at values other than zero."""
    moving: bool = False
    """Masks change while networks train, in place."""
    streamed: bool = False
    """Examples are not in memory."""
    ranks: int = 1
    """Processes that train together."""


LEAST = Demand()
"""The least that an engine can be asked for."""


@dataclass(frozen=True)
class Job:
    """The networks that an engine computes.

    `groups[r]` is the batch that network r sees, `dropout_keys[r]` where its dropout begins.
    """

    architecture: Architecture
    stack: Stack
    groups: Sequence[int]
    dropout_keys: Sequence[int]
    recipe: Recipe = PLAIN
    ranks: Ranks | None = None
    """This process among those that train the networks together."""


@dataclass(frozen=True)
class Course:
    """What networks are trained on, and how: the batches of each iteration, from a data set, by a recipe."""

    recipe: Recipe
    batches: Batches
    data: Resident


class Trainer(ABC):
    """Advances the networks of a stack and keeps their optimizer's state."""

    @abstractmethod
    def advance(self, start: int, stop: int) -> None:
        """Take the steps start, start + 1, ..., stop - 1; afterwards the stack's tensors hold the weights."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's state, for a checkpoint."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned; the stack's own tensors are already back."""

    def masks(self) -> list[Mask] | None:
        """The mask of each network, for trainings that search for one; None for all others."""
        return None


class Engine(ABC):
    """Scores the networks of a job and hands out what trains them: all in the stack's tensors, in place, in the
    precision and with the loss of the recipe. One that gives gradients is a `GradientEngine` (steps.py); others take
    whole steps.

    x is [G, batch, *shape] and y is [G, batch], of which network r sees number `groups[r]`; when G is 1 all networks
    see the one batch.
    """

    name: ClassVar[str]
    chunk: ClassVar[int]
    """Examples per forward pass in evaluation."""
    stack_size: ClassVar[int]
    """Networks worth training together on a CPU."""
    shares: ClassVar[bool] = False
    """Whether several processes may each compute a part of a batch."""
    ranks: Ranks | None = None
    stack: Stack
    groups: Sequence[int] | Tensor
    metric: Metric = ACCURACY

    @abstractmethod
    def __init__(self, job: Job) -> None: ...

    @staticmethod
    @abstractmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        """Whether this engine can train the architecture on the device as is demanded."""
        ...

    @staticmethod
    def unknown(architecture: Architecture) -> str:
        """What an architecture has that keeps this engine from holding it, where there is a word for it."""
        return ""

    @abstractmethod
    def trainer(self, course: Course) -> Trainer:
        """What advances this engine's stack."""
        ...

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode: [R, batch, classes], never in less than float32."""
        ...

    def score(self, examples: Examples) -> Score:
        """Loss and metric of every network; by default through `logits`, chunk by chunk."""
        return evaluate(self, examples.fetch, examples.count, self.metric, self.ranks)

    def keep(self, better: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Copy the tensors of the networks that are `better`, bool [R], into `kept`; without a word to the host."""
        for name, tensor in self.stack.tensors().items():
            chosen = better.view(-1, *(1,) * (tensor.dim() - 1))
            torch.where(chosen, tensor, kept[name], out=kept[name])


ENGINES: Registry[type[Engine]] = Registry("engine", "tombola.training.engines")


def takes(recipe: Recipe, device: torch.device) -> bool:
    """Whether engines of whole stacks can train by the loss and the optimizer: those of torch cannot be recorded."""
    return recipe.loss == CROSS_ENTROPY and not (device.type == "cuda" and recipe.optimizer.startswith(TORCH))


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[None]:
    """The arithmetic of a recipe, for the computing of one step or one evaluation.

    Casts of weights are not kept from one operation to the next: a captured graph could not tell when they are stale.
    """
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def widened(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses and their first gradient are never taken in bfloat16."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits
