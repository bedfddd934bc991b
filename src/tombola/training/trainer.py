"""Taking a stack from one iteration to another: what happens between two evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

from tombola.data import Resident
from tombola.masks import Mask
from tombola.training.augment import Augment
from tombola.training.batches import Batches
from tombola.training.optimizer import make_optimizer
from tombola.training.recipe import Recipe

if TYPE_CHECKING:
    from tombola.training.engines.base import Engine


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

    def found(self) -> list[Mask] | None:
        """The mask of each network, for trainings that find them; None for all others."""
        return None


class Steps(Trainer):
    """One step after the other through torch: gather, augmentation, gradients, mask, fused optimizer."""

    def __init__(self, engine: Engine, recipe: Recipe, batches: Batches, data: Resident) -> None:
        self.engine, self.recipe, self.batches, self.data = engine, recipe, batches, data
        self.optimizer = make_optimizer(list(engine.stack.params.values()), recipe)
        self.augment = Augment(recipe, batches.groups, data.device) if recipe.augments else None

    def advance(self, start: int, stop: int) -> None:
        for iteration in range(start, stop):
            self.optimizer.lr = self.recipe.lr_at(iteration)
            self.take(self.batches.at(iteration), iteration)

    def take(self, rows: Tensor, iteration: int | Tensor) -> None:
        """The step that leads from `iteration` (or an int64 scalar on the device) on a batch, int64 [G, batch]."""
        self.differentiate(rows, iteration)
        self.engine.stack.silence()
        self.optimizer.step()
        self.engine.stack.settle(self.optimizer)

    def differentiate(self, rows: Tensor, iteration: int | Tensor) -> None:
        """Leave the gradients of that step in the stack's parameters, those of dead weights too."""
        x = self.data.train(rows)
        if self.augment:
            self.augment.begin(iteration)
            x = self.augment(x)
        self.engine.backward(x, self.data.train_y[rows], iteration)

    def tensors(self) -> dict[str, Tensor]:
        return self.optimizer.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.optimizer.restore(tensors)
