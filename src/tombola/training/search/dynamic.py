"""Dynamic sparse training: a random mask rewires itself while its weights train, and never changes its counts."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.masks.allocation import removals
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.masks.structure import Floats, lowest
from tombola.models.state import State
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Goal, share_of
from tombola.training.search.moving import Moment, MovingMethod


def drop_fraction(iteration: int, iterations: int, start: float = 0.3, until: float = 0.75) -> float:
    """Share of the living weights to replace: `start` at first, down to 0 along half a cosine at `until` of training
    and 0 from there on (Evci et al. 2020, section 3, with their alpha and T_end)."""
    end = until * iterations
    return start / 2 * (1 + math.cos(math.pi * iteration / end)) if iteration < end else 0.0


def set_update(mask: Mask, weights: Mapping[str, Tensor], fraction: float, rng: np.random.Generator) -> Mask:
    """In each tensor the `fraction` of the living with the smallest magnitudes die, and as many grow at random among
    those that are then dead (SET: Mocanu et al. 2018; as in Evci et al. 2020, which drops by magnitude).

    floor(fraction * alive + 1/2) change places; one that just died may live on. Raises UserError for a fraction
    outside 0 to 1, and for a living weight that is missing or not finite.
    """

    def growth(name: str) -> Floats:
        return rng.random(mask.shapes[name])

    return _replaced(mask, weights, fraction, growth, rng)


def rigl_update(
    mask: Mask,
    weights: Mapping[str, Tensor],
    gradient: Mapping[str, Tensor],
    fraction: float,
    rng: np.random.Generator,
) -> Mask:
    """As `set_update`, but those grow whose gradient is largest in magnitude (RigL: Evci et al. 2020, section 3).

    `gradient` is that of the loss by all weights, dead ones too, as a `Probe` has it; the stream breaks ties.
    """

    def growth(name: str) -> Floats:
        return _magnitudes(name, gradient, "gradient", torch.ones_like(mask[name]))

    return _replaced(mask, weights, fraction, growth, rng)


def _replaced(
    mask: Mask,
    weights: Mapping[str, Tensor],
    fraction: float,
    growth: Callable[[str], Floats],
    rng: np.random.Generator,
) -> Mask:
    if not 0 <= fraction <= 1:
        raise UserError(f"fraction of weights to replace is {fraction}, expected 0 to 1")
    after = {}
    for name, living in mask.items():
        number = removals(mask.count(name), fraction)
        alive, magnitudes = living.numpy(), _magnitudes(name, weights, "weights", living)
        alive[alive] = ~lowest(magnitudes[alive], number, rng)
        alive[~alive] = lowest(-growth(name)[~alive], number, rng)
        after[name] = torch.from_numpy(alive)
    return Mask(after)


def _magnitudes(name: str, tensors: Mapping[str, Tensor], what: str, needed: Tensor) -> Floats:
    """Absolute values [shape of the mask], finite where `needed`."""
    if name not in tensors:
        raise UserError(f"{what} lack '{name}'{nearest(name, tensors)}")
    values = tensors[name].detach().to("cpu", torch.float64).abs()
    if values.shape != needed.shape:
        raise UserError(f"{what}: '{name}' has shape {tuple(values.shape)}, expected {tuple(needed.shape)}")
    if not values[needed].isfinite().all():
        raise UserError(f"{what} of '{name}' are not all finite (has the training diverged?)")
    magnitudes: Floats = values.numpy()
    return magnitudes


class Dynamic(MovingMethod):
    """What SET and RigL share: a random mask with the counts of the level, in which every `every` iterations a share of
    each tensor's weights change places: `fraction` at first, down to 0 along half a cosine at `until`, a share of the
    training (the defaults of Evci et al. 2020, section 3). A tensor that is not trained keeps its first mask."""

    # Where masks move by gradient a move stands for a step: if it stood for all of them, nothing would be trained.
    every: Annotated[int, Field(ge=2)] = 100
    """Iterations from one move to the next."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    """The share of the living weights that the first move replaces."""
    until: Annotated[float, Field(gt=0, le=1)] = 0.75
    """The share of the training after which nothing moves."""

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
