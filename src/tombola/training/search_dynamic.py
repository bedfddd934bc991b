"""Dynamic sparse training: a random mask rewires itself while its weights train, and never changes its counts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tombola.errors import UserError
from tombola.masks import Mask, PruneRule, drop_fraction, rigl_update, set_update
from tombola.models import State
from tombola.training.recipe import Recipe
from tombola.training.search import SEARCHES, Goal, share_of
from tombola.training.search_moving import Moment, MovingMethod


class Dynamic(MovingMethod):
    """What SET and RigL share: a random mask with the counts of the level, in which every `every` iterations a share of
    each tensor's weights change places: `fraction` at first, down to 0 along half a cosine at `until`, a share of the
    training (the defaults of Evci et al. 2020, section 3). A tensor that is not trained keeps its first mask."""

    # Where masks move by gradient a move stands for a step: if it stood for all of them, nothing would be trained.
    every: Annotated[int, Field(ge=2)] = 100
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    until: Annotated[float, Field(gt=0, le=1)] = 0.75

    growth: ClassVar[str]
    """How the places where weights grow are chosen, to end a sentence with."""

    @abstractmethod
    def updated(self, moment: Moment, fraction: float) -> Mask:
        """The mask when a share of each tensor's weights have changed places."""

    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        if rule.criterion != "large-final":
            raise UserError(
                f"dynamic sparse training drops weights by magnitude and grows them {self.growth}, found criterion "
                f"'{rule.criterion}'; leave it out"
            )
        if rule.structure != "weights":
            raise UserError(
                f"dynamic sparse training drops and grows single weights, found structure '{rule.structure}'; expected "
                "structure = 'weights'"
            )
        if not self.points(recipe):
            raise UserError(
                f"pruning.search.every is {self.every}, so that no mask would change: expected less than "
                f"{self._last(recipe.iterations)}, the iteration at which changes end (until = {self.until:g} of "
                f"{recipe.iterations})"
            )

    def first(self, state: State, goal: Goal, rng: np.random.Generator) -> Mask:
        return goal.random(state, rng)

    def points(self, recipe: Recipe) -> list[int]:
        last = min(self._last(recipe.iterations), recipe.iterations)
        return list(range(self.every, last, self.every))

    def moved(self, moment: Moment) -> Mask:
        fraction = drop_fraction(moment.iteration, moment.iterations, self.fraction, self.until)
        trained = Mask({name: moment.mask[name] for name in moment.mask if name not in moment.frozen})
        return Mask({**moment.mask, **self.updated(replace(moment, mask=trained), fraction)})

    def _last(self, iterations: int) -> int:
        return share_of(self.until, iterations)


@SEARCHES.register("set")
class Set(Dynamic):
    """Sparse training whose smallest weights move to random places (SET: Mocanu et al. 2018; Evci et al. 2020)."""

    growth: ClassVar[str] = "at random"

    def updated(self, moment: Moment, fraction: float) -> Mask:
        return set_update(moment.mask, moment.weights, fraction, moment.rng)


@SEARCHES.register("rigl")
class Rigl(Dynamic):
    """Sparse training whose smallest weights move to where the gradient is largest (RigL: Evci et al. 2020)."""

    by_gradient: ClassVar[bool] = True
    growth: ClassVar[str] = "by gradient"

    def updated(self, moment: Moment, fraction: float) -> Mask:
        return rigl_update(moment.mask, moment.weights, moment.gradient, fraction, moment.rng)
