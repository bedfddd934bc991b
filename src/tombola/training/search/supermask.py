"""Supermasks: the weights of a network stay as they are, and what is trained is which of them live."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tombola.errors import UserError
from tombola.masks.ladder import in_proportion
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.models.state import State
from tombola.training.engines.base import Course, Engine
from tombola.training.engines.steps import GradientEngine, Steps
from tombola.training.noise import UNIFORM_BITS, hash64, uniform
from tombola.training.optimizer import Sgd
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Goal, Method
from tombola.training.start import Start

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
SCORE = "score:"
"""Before the name of scores in a checkpoint."""


class ScoreMethod(Method):
    """What both methods share: each weight has a score, and SGD of its own (`lr`, `momentum`, `weight_decay`,
    `schedule`) trains the scores; batches, iterations, augmentation and loss are the recipe's.

    In a step the network computes with effective weights w * m, where m is a mask made of the scores s; the gradient
    of the loss by a score is that by its effective weight, times w, times dm/ds. Between steps it has those weights
    alone that have the highest scores, in the counts of the level, ties broken by a stream: this is the network that
    is evaluated and kept. Tensors that keep all their weights have no scores; those that are not trained keep the mask
    of their first scores, which is a random one, and have their share of the count where they are pooled with others.
    """

    lr: Positive
    """The learning rate of the scores."""
    momentum: Share
    """Of their SGD."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the scores."""
    schedule: Literal["constant", "cosine"]
    """How their learning rate goes on."""
    rescale: bool = False
    """Whether living weights are scaled up by how few there are."""

    @abstractmethod
    def begin(self, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Tensor:
        """The first scores of a tensor of which a share is to live."""

    @abstractmethod
    def drawn(self, steps: ScoreSteps, iteration: int) -> dict[str, Tensor]:
        """The masks that a step computes with: name -> bool [R, *shape]."""

    @abstractmethod
    def slope(self, score: Tensor) -> Tensor | float:
        """dm/ds, of the mask by the score."""

    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        if rule.criterion != "large-final":
            raise UserError(
                f"supermasks are made of scores that are trained, found criterion '{rule.criterion}'; leave it out"
            )
        if rule.structure != "weights":
            raise UserError(
                f"supermasks score single weights, found structure '{rule.structure}'; expected structure = 'weights'"
            )

    def first(self, state: State, goal: Goal, rng: np.random.Generator) -> Mask:
        return goal.dense(state)

    def trainer(self, engine: Engine, course: Course, starts: Sequence[Start], goal: Goal) -> ScoreSteps:
        own = {"lr": self.lr, "schedule": self.schedule, "warmup": 0, "milestones": ()}
        assert isinstance(engine, GradientEngine), "engines that hold moving masks give gradients"
        own_course = replace(course, recipe=course.recipe.model_copy(update=own))
        return ScoreSteps(self, engine, own_course, starts, goal)


class Contest:
    """Tensors of R networks whose weights compete for `count` places; `order` [R, weights] decides between ties."""

    def __init__(self, members: Sequence[str], count: int, order: Tensor) -> None:
        self.members, self.count, self.order = members, count, order

    def highest(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Where the `count` highest scores of each network are: name -> bool [R, *shape]."""
        flat = torch.cat([scores[name].flatten(1) for name in self.members], 1).nan_to_num(nan=-torch.inf)
        least = flat.kthvalue(flat.shape[1] - self.count + 1, dim=1, keepdim=True).values
        above, tied = flat > least, flat == least
        turn = tied.gather(1, self.order).cumsum(1)
        turn = torch.zeros_like(turn).scatter_(1, self.order, turn)
        chosen = above | (tied & (turn <= self.count - above.sum(1, keepdim=True)))
        parts = torch.split(chosen, [scores[name][0].numel() for name in self.members], 1)
        return {name: part.view_as(scores[name]) for name, part in zip(self.members, parts, strict=True)}


class ScoreSteps(Steps):
    """The steps of a `ScoreMethod`: weights, biases and norms stay where they are, and scores move.

    Batch norms go on to average what they see. A network whose scores are no longer finite is given weights that are
    not either, so that it counts as diverged.
    """

    def __init__(
        self,
        method: ScoreMethod,
        engine: GradientEngine,
        course: Course,
        starts: Sequence[Start],
        goal: Goal,
    ) -> None:
        super().__init__(engine, course)
        self.method, self.stack = method, engine.stack
        self.frozen: dict[str, Tensor] = {}
        self.scores: dict[str, Tensor] = {}
        self.contests: list[Contest] = []
        shapes = {name: tuple(mask.shape[1:]) for name, mask in self.stack.masks.items()}
        streams = [s.seeds.stream("search", s.level, "scores") for s in starts]
        for label, members, count in self._shared_out(goal, shapes):
            size = sum(math.prod(shapes[name]) for name in members)
            if count == size:
                continue
            for name in members:
                held = self.stack.params[name]
                first = [method.begin(shapes[name], count / size, rng) for rng in streams]
                self.frozen[name], self.scores[name] = held.clone(), torch.stack(first).to(held)
            ties = [s.seeds.stream("search", s.level, "ties", label).permutation(size) for s in starts]
            order = torch.from_numpy(np.stack(ties)).to(self.stack.device)
            self.contests.append(Contest(members, count, order))
        keys = [s.seeds.key("search", s.level, "chance") for s in starts]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=self.stack.device)
        # In place of the one that would step weights.
        self.optimizer = Sgd(
            list(self.scores.values()), method.lr, method.momentum, weight_decay=method.weight_decay
        )
        self._put(self.highest())

    def advance(self, start: int, stop: int) -> None:
        super().advance(start, stop)
        self._put(self.highest())

    def take(self, rows: Tensor, iteration: int | Tensor) -> None:
        scales = self._put(self.method.drawn(self, int(iteration)))
        self.differentiate(rows, iteration)
        for name, score in self.scores.items():
            gradient = self.stack.params[name].grad  # a frozen parameter has none
            factor = self.frozen[name] * scales[name] * self.method.slope(score)
            score.grad = None if gradient is None else gradient * factor
        self.optimizer.step()

    def highest(self) -> dict[str, Tensor]:
        """Where the highest scores are, in exact counts: name -> bool [R, *shape]."""
        return {name: part for each in self.contests for name, part in each.highest(self.scores).items()}

    def at_random(self, iteration: int) -> dict[str, Tensor]:
        """Which weights live when each does with the chance of its score: a function of network, iteration and
        place, see noise.py."""
        living = self.highest() if self.stack.frozen.intersection(self.scores) else {}
        for index, (name, score) in enumerate(self.scores.items()):
            if name in self.stack.frozen:
                continue
            stem = hash64(hash64(self._keys + index) + iteration)
            places = torch.arange(score[0].numel(), device=score.device)
            drawn = uniform(hash64(stem.unsqueeze(1) + places)).view_as(score)
            living[name] = drawn < score.sigmoid() * (1 << UNIFORM_BITS)
        return living

    def masks(self) -> list[Mask]:
        chosen = self.highest()
        masks = {name: chosen.get(name, held.bool()) for name, held in self.stack.masks.items()}
        return [Mask({name: mask[r] for name, mask in masks.items()}) for r in range(self.stack.size)]

    def tensors(self) -> dict[str, Tensor]:
        return {**super().tensors(), **{f"{SCORE}{name}": score for name, score in self.scores.items()}}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore({name: tensor for name, tensor in tensors.items() if not name.startswith(SCORE)})
        for name, score in self.scores.items():
            score.copy_(tensors[f"{SCORE}{name}"])

    def _shared_out(
        self, goal: Goal, shapes: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """Label, tensors and count of each contest; frozen tensors and trained ones never compete."""
        for label, members in goal.contests(shapes).items():
            trained = tuple(name for name in members if name not in self.stack.frozen)
            fixed = tuple(name for name in members if name in self.stack.frozen)
            own, whole = (sum(math.prod(shapes[name]) for name in names) for names in (fixed, members))
            count = in_proportion(goal.counts[label], whole, own)
            if fixed:
                yield (f"{label} (frozen)" if trained else label), fixed, count
            if trained:
                yield label, trained, goal.counts[label] - count

    def _put(self, living: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the stack the effective weights of masks; returns what they were scaled by: name -> [R, 1, ...]."""
        scales = {name: self._scale(name, mask) for name, mask in living.items()}
        sound = self._sound()
        for name, mask in living.items():
            weights = self.frozen[name] * (scales[name] * sound.view_as(scales[name]))
            self.stack.params[name].copy_(torch.where(mask, weights, 0.0))
        return scales

    def _scale(self, name: str, mask: Tensor) -> Tensor:
        """What the living weights of a tensor are multiplied by."""
        shape = (-1, *(1,) * (mask.dim() - 1))
        if not self.method.rescale or name in self.stack.frozen:
            return self._keys.new_ones(self.stack.size, dtype=torch.float32).view(shape)
        living = mask.flatten(1).sum(1).clamp(min=1)
        return (torch.full_like(living, mask[0].numel()) / living).view(shape)

    def _sound(self) -> Tensor:
        """1 for networks whose scores are finite, NaN for others: [R]."""
        broken = torch.zeros(self.stack.size, dtype=torch.bool, device=self.stack.device)
        for score in self.scores.values():
            broken |= ~score.isfinite().flatten(1).all(1)
        return torch.where(broken, torch.nan, 1.0)


@SEARCHES.register("edge-popup")
class EdgePopup(ScoreMethod):
    """The weights of highest score live, and gradients go straight through that choice (Ramanujan et al. 2020, 3).

    Scores begin as the weights of a layer would, evenly spread over +-1 / sqrt(fan-in). dm/ds counts as 1.
    """

    lr: Positive = 0.1
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    schedule: Literal["constant", "cosine"] = "cosine"

    def begin(self, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Tensor:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        return torch.from_numpy(rng.uniform(-bound, bound, shape))

    def drawn(self, steps: ScoreSteps, iteration: int) -> dict[str, Tensor]:
        return steps.highest()

    def slope(self, score: Tensor) -> Tensor | float:
        return 1.0


@SEARCHES.register("supermask")
class Supermask(ScoreMethod):
    """Weights live by chance, anew in each step, and the chances are trained (Zhou et al. 2019, 5).

    The chance of a weight is the sigmoid of its score, and dm/ds the slope of the sigmoid. All scores begin where as
    many weights live as the level has, on average. With `rescale` ("dynamic weight rescaling") the living weights of
    each tensor are multiplied by its size over the number of them, in steps by the number that happen to live, and
    between them by the number in the mask: so the end of such a search holds scaled weights. A ticket of its mask
    starts from weights that are not.
    """

    lr: Positive = 100.0
    momentum: Share = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    rescale: bool = True

    def begin(self, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Tensor:
        return torch.full(shape, math.log(density / (1 - density)), dtype=torch.float64)

    def drawn(self, steps: ScoreSteps, iteration: int) -> dict[str, Tensor]:
        return steps.at_random(iteration)

    def slope(self, score: Tensor) -> Tensor | float:
        chance = score.sigmoid()
        return chance * (1 - chance)
