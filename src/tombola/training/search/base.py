"""Searches: trainings that find a mask.

A method is a table of options and makes the trainer of a search, registered under its name. That trainer has `masks` in
the end; all else about a search is as in any other training.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from tombola.masks.allocation import pools_of
from tombola.masks.ladder import in_proportion
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import structure
from tombola.models.state import State
from tombola.registry import Registry
from tombola.training.engines.base import Course, Engine, Trainer
from tombola.training.recipe import Recipe
from tombola.training.search.options import Options
from tombola.training.start import Start


@dataclass(frozen=True)
class Goal:
    """What the mask that is looked for keeps: the `counts` of a rung of the ladder (the label of a contest -> weights
    alive), of tensors that are pooled by the `rates` and the allocation of the `rule`."""

    counts: Mapping[str, int]
    rates: Mapping[str, float]
    rule: PruneRule

    def contests(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
        """Label -> the tensors whose weights compete for its count."""
        pools = pools_of(shapes, self.rates, self.rule.allocation)
        return {label: members for pool in pools for label, members in pool.contests.items()}

    def dense(self, state: State) -> Mask:
        """The mask of the whole network, of which `state` holds the weights."""
        return Mask.dense({name: tuple(state[name].shape) for name in self.rates})

    def whole_counts(self, mask: Mask) -> dict[str, int]:
        """Label -> weights that there are, dead or alive."""
        shapes = mask.shapes
        return {
            label: sum(math.prod(shapes[name]) for name in members)
            for label, members in self.contests(shapes).items()
        }

    def reachable(self, mask: Mask, wanted: Mapping[str, int]) -> dict[str, int]:
        """Counts of weights of which `Pruner.to_counts` leaves, of a mask that has been pruned before, as many groups
        as it would leave of the dense one of the `wanted`: where groups are unlike, those that live are no longer of
        average size."""
        groups, whole = structure(self.rule.structure), self.whole_counts(mask)
        dense, counts = Mask.dense(mask.shapes), {}
        for label, members in self.contests(mask.shapes).items():
            there, alive = (sum(groups.count(of[name].numpy()) for name in members) for of in (dense, mask))
            stay = in_proportion(wanted[label], whole[label], there)
            counts[label] = in_proportion(stay, alive, sum(mask.count(name) for name in members))
        return counts

    def describe(self) -> list[object]:
        """What a checkpoint must agree on."""
        return [dict(self.counts), dict(self.rates), self.rule.model_dump(mode="json")]

    def random(self, state: State, rng: np.random.Generator) -> Mask:
        """A random mask with the counts."""
        rule = self.rule.model_copy(update={"criterion": "random"})
        return Pruner(rule, self.rates, rng).to_counts(self.dense(state), state, state, self.counts)


class Method(Options):
    """A way to find a mask by training; its fields are the options in [pruning.search]."""

    scores_frozen: ClassVar[bool] = False
    """Whether weights that are not trained are pruned by their scores, as trained ones are; else by a random mask."""

    @abstractmethod
    def first(self, state: State, goal: Goal, rng: np.random.Generator) -> Mask:
        """The mask that a network of initial weights `state` is trained with at first."""

    @abstractmethod
    def trainer(self, engine: Engine, course: Course, starts: Sequence[Start], goal: Goal) -> Trainer:
        """What trains the networks of an engine's stack, whose masks may move, and in the end has `masks` of the
        goal."""

    def selects_from(self, recipe: Recipe) -> int:
        """The first iteration at which an evaluation may choose the early-stop network: none is chosen before it has
        the density that is looked for. By default every one may."""
        return 0


def share_of(share: float, iterations: int) -> int:
    """The iteration at which a share of a training is over, rounded down; exact for the share as it is written."""
    return math.floor(Fraction(str(share)) * iterations)


class Searches(Registry[type[Method]]):
    """Searches by name."""

    def facts(self, name: str) -> Any:
        """What it is, in one line."""
        return self.describe(name)


SEARCHES = Searches("search", "tombola.training.search")


@dataclass(frozen=True)
class Search:
    """A method and what it is to find: what `train_stack` takes."""

    method: Method
    goal: Goal

    def start(self, start: Start) -> Start:
        """The start of a search, from that of a dense network."""
        rng = start.seeds.stream("search", start.level)
        mask = self.method.first(start.state, self.goal, rng)
        return Start(start.state, mask, start.seeds, start.level, start.iteration)

    def describe(self) -> list[object]:
        """What a checkpoint must agree on."""
        return [type(self.method).__name__, self.method.model_dump(mode="json"), *self.goal.describe()]
