"""What every engine does, and which one a network gets."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor

from tombola.data import Resident
from tombola.errors import UserError
from tombola.models import Architecture
from tombola.registry import Registry
from tombola.training.augment import require_images
from tombola.training.batches import Batches
from tombola.training.evaluate import Examples, Score, evaluate
from tombola.training.generators import habits
from tombola.training.graphed import Graphed
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.trainer import Steps, Trainer

PLAIN = Recipe()
"""The recipe of who only measures: float32, nothing smoothed or augmented."""


class Engine(ABC):
    """Computes with a stack's tensors in place, in the precision and with the loss of a recipe.

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
        self,
        architecture: Architecture,
        stack: Stack,
        groups: Sequence[int],
        dropout_keys: Sequence[int],
        recipe: Recipe = PLAIN,
    ) -> None: ...

    @staticmethod
    @abstractmethod
    def holds(
        architecture: Architecture, device: torch.device, recipe: Recipe, pinned: bool, moving: bool = False
    ) -> bool:
        """Whether this engine can train the architecture by the recipe on the device; `pinned`: some network
        of the stack freezes dead weights at values other than zero; `moving`: masks change while it trains, in
        place."""
        ...

    def trainer(self, recipe: Recipe, batches: Batches, data: Resident) -> Trainer:
        """What advances this engine's stack; by default one step after the other through `backward`, on a GPU as a
        recorded graph."""
        kind = Graphed if self.stack.device.type == "cuda" else Steps
        return kind(self, recipe, batches, data)

    @abstractmethod
    def backward(self, x: Tensor, y: Tensor, iteration: int | Tensor) -> None:
        """Leave the gradient of each network's mean cross-entropy (with the recipe's label smoothing) in `.grad`
        of the stack's parameters. `iteration` may be an int64 scalar on the device, which nobody on the host reads."""
        ...

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode: [R, batch, classes], never in less than float32."""
        ...

    def score(self, examples: Examples) -> Score:
        """Loss and accuracy of every network; by default through `logits`, chunk by chunk."""
        return evaluate(self, examples.fetch, examples.count)

    def keep(self, better: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Copy the tensors of the networks that are `better`, bool [R], into `kept`; without a word to the host."""
        for name, tensor in self.stack.tensors().items():
            chosen = better.view(-1, *(1,) * (tensor.dim() - 1))
            torch.where(chosen, tensor, kept[name], out=kept[name])


ENGINES: Registry[type[Engine]] = Registry("engine")

PREFERENCE = {"cpu": ("sparse", "mlp", "modules"), "cuda": ("mlp", "stacked", "modules")}
"""Which engine "auto" takes on a kind of device: the first that holds all that is asked. The order is fixed, not timed
afresh for every run, so that equal runs have equal bits; `tombola bench` times it."""


def choose(
    name: str,
    architecture: Architecture,
    device: torch.device,
    recipe: Recipe = PLAIN,
    pinned: bool = False,
    moving: bool = False,
) -> type[Engine]:
    """The engine called `name`, or for "auto" the first of PREFERENCE that holds architecture, recipe, pins and
    moving masks.

    Raises UserError when the named engine cannot hold them, saying what it lacks, and when the recipe augments
    what are not images.
    """
    require_images(recipe, architecture.input_shape)
    if name == "auto":
        return _preferred(architecture, device, recipe, pinned, moving)
    engine = ENGINES[name]
    if not engine.holds(architecture, device, recipe, pinned, moving):
        what = _refused(engine, architecture, device, recipe, moving)
        raise UserError(f"engine '{name}' cannot {what}; it is for: {ENGINES.describe(name)}")
    return engine


def _preferred(
    architecture: Architecture, device: torch.device, recipe: Recipe, pinned: bool, moving: bool
) -> type[Engine]:
    order = [ENGINES[name] for name in PREFERENCE[device.type]]
    found = next(engine for engine in order if engine.holds(architecture, device, recipe, pinned, moving))
    if device.type == "cuda" and found is order[-1]:
        warnings.warn(
            f"{architecture.name} does something that cannot be computed for a whole stack at once, so engine "
            f"'{found.name}' computes its networks one after the other, which a GPU is slow at",
            stacklevel=3,
        )
    return found


def _refused(
    engine: type[Engine], architecture: Architecture, device: torch.device, recipe: Recipe, moving: bool
) -> str:
    """What an engine cannot do, of all that was asked: found by asking for one thing at a time."""
    if not engine.holds(architecture, device, PLAIN, False):
        noisy = architecture.ask(habits).draws
        why = ", which draws random numbers of its own as it computes" if noisy else ""
        return f"hold {architecture.name} on {device.type}{why}"
    for option, value in recipe:
        if not engine.holds(architecture, device, PLAIN.model_copy(update={option: value}), False):
            return f"train {architecture.name} with recipe.{option} = {value}"
    if not engine.holds(architecture, device, recipe, False, moving):
        return "train networks whose masks change while they train"
    return "keep dead weights frozen at values other than zero"


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
