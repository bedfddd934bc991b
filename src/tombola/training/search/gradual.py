"""Gradual pruning: a dense network loses its weights while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tombola.errors import UserError
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import structure
from tombola.models.state import State
from tombola.training.recipe import PositiveInt, Recipe
from tombola.training.search.base import SEARCHES, Goal, share_of
from tombola.training.search.moving import Moment, MovingMethod


def cubic_counts(
    iteration: int, begin: int, end: int, initial: Mapping[str, int], final: Mapping[str, int]
) -> dict[str, int]:
    """Counts at an iteration: `initial` up to `begin`, `final` from `end` on, fast at first and slower towards the end
    in between: final + (initial - final) * (1 - progress)^3 (Zhu & Gupta 2017, section 3), rounded half up.

    Labels and counts are those of two rungs of a ladder; they never rise from an iteration to a later one. Raises
    UserError unless begin < end, and for labels or counts of `final` that `initial` does not have.
    """
    for label in {**initial, **final}:
        if label not in initial or label not in final or not 0 <= final[label] <= initial[label]:
            raise UserError(
                f"gradual pruning of '{label}' from {initial.get(label, 'none')} to {final.get(label, 'none')}, "
                "expected a last count between 0 and the first"
            )
    share = _to_go(iteration, begin, end)
    return {
        label: math.floor(final[label] + (initial[label] - final[label]) * share + Fraction(1, 2))
        for label in initial
    }


def _to_go(iteration: int, begin: int, end: int) -> Fraction:
    """(1 - progress)^3, exactly: 1 up to `begin`, 0 from `end` on."""
    if begin >= end:
        raise UserError(f"gradual pruning from iteration {begin} to {end}, expected a later end")
    left = Fraction(end - min(max(iteration, begin), end), end - begin)
    return left**3


Share = Annotated[float, Field(ge=0, lt=1)]


@SEARCHES.register("gradual")
class Gradual(MovingMethod):
    """A dense network is pruned while it trains, fast at first and slower towards the end (Zhu & Gupta 2017, 3).

    Every `every` iterations between `begin` and `end`, shares of the training, as many weights of the lowest score go
    as the cubic schedule says; at `end` the counts of the level are reached, and the rest of the training is for
    recovery. Masks are nested. The early-stop network is looked for after `end`.
    """

    scores_frozen: ClassVar[bool] = True

    every: PositiveInt = 100
    """Iterations from one pruning to the next."""
    begin: Share = 0.0
    """The share of the training before the first."""
    end: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """The share of the training by which the count of the level is reached."""

    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        begin, end = self._span(recipe)
        if begin >= end:
            raise UserError(
                f"gradual pruning begins at iteration {begin} and ends at {end} of {recipe.iterations} (pruning.search "
                f"has begin = {self.begin:g}, end = {self.end:g}), expected a later end"
            )
        if CRITERIA.facts(rule.criterion)["probe"]:
            raise UserError(
                f"gradual pruning scores weights while they train, which criterion '{rule.criterion}' cannot: it looks "
                "at the network and its data; expected another criterion"
            )
        if structure(rule.structure).most is not None:
            raise UserError(
                f"gradual pruning goes little by little and structure '{rule.structure}' prunes at one stroke; "
                "expected another structure"
            )

    def first(self, state: State, goal: Goal, rng: np.random.Generator) -> Mask:
        return goal.dense(state)

    def points(self, recipe: Recipe) -> list[int]:
        begin, end = self._span(recipe)
        return [*range(begin + self.every, end, self.every), end]

    def selects_from(self, recipe: Recipe) -> int:
        return self._span(recipe)[1] + 1  # an evaluation at `end` is made just before the last pruning

    def moved(self, moment: Moment) -> Mask:
        goal, mask = moment.goal, moment.mask
        begin, end = _span(self.begin, self.end, moment.iterations)
        wanted = cubic_counts(moment.iteration, begin, end, goal.whole_counts(mask), goal.counts)
        counts = goal.reachable(mask, wanted)
        return Pruner(goal.rule, goal.rates, moment.rng).to_counts(
            mask, moment.start.state, moment.weights, counts
        )

    def _span(self, recipe: Recipe) -> tuple[int, int]:
        return _span(self.begin, self.end, recipe.iterations)


def _span(begin: float, end: float, iterations: int) -> tuple[int, int]:
    """Shares of a training as iterations."""
    return share_of(begin, iterations), share_of(end, iterations)
