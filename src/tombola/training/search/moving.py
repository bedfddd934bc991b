"""Masks that move while a network trains: every so often each network of a stack gets another one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from tombola.masks.mask import Mask
from tombola.training.engines.base import Course, Engine, Trainer
from tombola.training.engines.steps import Steps
from tombola.training.recipe import Recipe
from tombola.training.search.base import Goal, Method
from tombola.training.start import Start

MASK = "mask:"
"""Before the name of a mask in a checkpoint."""


@dataclass(frozen=True)
class Moment:
    """One network before one step: what its next mask is made from. Tensors are on the CPU, named as in the mask."""

    start: Start
    goal: Goal
    iteration: int
    iterations: int
    mask: Mask
    weights: Mapping[str, Tensor]
    gradient: Mapping[str, Tensor]
    """Of the loss on the step's batch, by all weights, dead ones too; empty unless the method asks for it."""
    rng: np.random.Generator
    frozen: frozenset[str]
    """Names of the parameters that are not trained, in which nothing may grow: it would never leave zero."""


class MovingMethod(Method):
    """A method that gives a network another mask before some of its steps."""

    by_gradient: ClassVar[bool] = False
    """Whether masks move by the gradient of a step's batch. Such a move takes the place of the step (Evci et al. 2020,
    algorithm 1)."""

    @abstractmethod
    def points(self, recipe: Recipe) -> list[int]:
        """Iterations before whose step masks move, rising."""

    @abstractmethod
    def moved(self, moment: Moment) -> Mask:
        """The next mask of a network whose weights and gradient are finite."""

    def trainer(self, engine: Engine, course: Course, starts: Sequence[Start], goal: Goal) -> Trainer:
        steps = engine.trainer(course)
        assert isinstance(steps, Steps), "engines that hold moving masks take their steps through torch"
        return MovingMasks(self, steps, starts, goal)


class MovingMasks(Trainer):
    """An engine's steps, and between them moves of the masks that its stack holds.

    Weights that die, and their optimizer state, become zero; those that begin to live start from the zero that dead
    weights have. A network whose numbers are no longer finite keeps its mask: it has diverged, whatever comes.
    """

    def __init__(self, method: MovingMethod, steps: Steps, starts: Sequence[Start], goal: Goal) -> None:
        self.method, self.steps, self.starts, self.goal = method, steps, starts, goal
        self.stack, self.points = steps.engine.stack, method.points(steps.recipe)

    def advance(self, start: int, stop: int) -> None:
        done = start
        for point in (t for t in self.points if start <= t < stop):
            self.steps.advance(done, point)
            self._move(point)
            done = point + self.method.by_gradient
        self.steps.advance(done, stop)

    def masks(self) -> list[Mask]:
        return [self._mask(r) for r in range(self.stack.size)]

    def tensors(self) -> dict[str, Tensor]:
        return {**self.steps.tensors(), **{f"{MASK}{name}": mask for name, mask in self.stack.masks.items()}}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.steps.restore({name: tensor for name, tensor in tensors.items() if not name.startswith(MASK)})
        for name, mask in self.stack.masks.items():
            mask.copy_(tensors[f"{MASK}{name}"])

    def _move(self, iteration: int) -> None:
        """Give every network its next mask. Masks are made on the host, so that this is a sync point."""
        if self.method.by_gradient:
            self.steps.differentiate(self.steps.batches.at(iteration), iteration)
        for r, start in enumerate(self.starts):
            weights = {name: self.stack.params[name][r].detach().cpu() for name in self.stack.masks}
            gradient = self._gradient(r) if self.method.by_gradient else {}
            if not all(bool(t.isfinite().all()) for t in (*weights.values(), *gradient.values())):
                continue
            rng = start.seeds.stream("search", start.level, iteration)
            iterations = self.steps.recipe.iterations
            mask, frozen = self._mask(r), self.stack.frozen
            moment = Moment(start, self.goal, iteration, iterations, mask, weights, gradient, rng, frozen)
            self._put(r, self.method.moved(moment))

    def _gradient(self, r: int) -> dict[str, Tensor]:
        """The gradient that was just left in the stack; that of a frozen tensor is zero."""
        params = {name: self.stack.params[name] for name in self.stack.masks}
        return {
            name: torch.zeros_like(param[r]).cpu() if param.grad is None else param.grad[r].cpu()
            for name, param in params.items()
        }

    def _mask(self, r: int) -> Mask:
        return Mask({name: mask[r].bool() for name, mask in self.stack.masks.items()})

    def _put(self, r: int, mask: Mask) -> None:
        """Let network r have a mask; all in place, where a recorded graph reads it."""
        for name, held in self.stack.masks.items():
            living, param = mask[name].to(held.device), self.stack.params[name]
            held[r].copy_(living)
            param.detach()[r].masked_fill_(~living, 0)
            for key, state in self.steps.optimizer.state.get(param, {}).items():
                if isinstance(state, Tensor) and state.shape == param.shape:
                    # All begin at zero but the step sizes of Rprop.
                    state[r].masked_fill_(~living, self.steps.recipe.lr if key == "step_size" else 0)
