"""Seeding: weights that are to live are made larger, or given signs, before training; does pruning find them?

Any weight that starts large is likelier to end large, so that what is seeded is to be compared with as many weights
chosen at random that are treated alike, and with what of the same weights lives without seeding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.stats.exact import shared, total


def scaled(state: State, chosen: Mask, times: float) -> State:
    """The state with the chosen weights so many times as large."""
    return {**state, **{name: torch.where(chosen[name], state[name] * times, state[name]) for name in chosen}}


def with_signs(state: State, chosen: Mask, signs: State) -> State:
    """The state with the chosen weights of the signs that they have in another; zero there leaves a weight as it is."""
    return {
        **state,
        **{
            name: torch.where(
                chosen[name] & (signs[name] != 0), state[name].abs().copysign(signs[name]), state[name]
            )
            for name in chosen
        },
    }


@dataclass(frozen=True)
class Survival:
    """How many of the chosen weights live in a drawn mask: `lived` of `chosen`, where masks with the drawn counts in
    each tensor would keep `by_chance` on average, and this many or more with chance `p`. Tensors that are drawn whole
    are left out."""

    lived: int
    chosen: int
    by_chance: float
    p: float


def survival(chosen: Mask, drawn: Mask) -> Survival:
    """What pruning has found of the chosen weights."""
    names = [name for name in drawn if drawn.count(name) < drawn.size(name)]
    chances = [shared(drawn.size(name), chosen.count(name), drawn.count(name)) for name in names]
    lived = sum(int((chosen[name] & drawn[name]).sum()) for name in names)
    expected = sum(chance.mean(lambda number: number) for chance in chances)
    p = total(chances).at_least(lived) if chances else 1.0
    return Survival(lived, sum(chosen.count(name) for name in names), expected, p)
