"""Several builds of one factory: which weights follow the seed, and whether weights and buffers are all there is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.files import digest_of
from tombola.models.factory import Make, protected
from tombola.models.generators import seeded
from tombola.models.hidden import difference
from tombola.models.state import State, load_state, state_of
from tombola.models.trial import Answers, answers

MOST, BUDGET = 6, 10_000_000
"""What is drawn by the toss of a coin may fall alike twice: so many builds are compared with the first, as long as they
have no more parameters together, and at least one."""


@dataclass(frozen=True)
class Shown:
    """A network that was tried out: its state before, the examples it was shown, and what it answered."""

    state: State
    x: Tensor
    classes: int
    answers: Answers


def seeded_build(make: Make, seed: int, others: int = 0) -> nn.Module:
    """What the factory builds when torch draws from `seed`, and numpy and Python from another one."""
    with seeded(0, others), protected(seed):
        return make()


def require_repeatable(name: str, make: Make, first: nn.Module, state: State) -> None:
    """Raise UserError for a factory that hands out one module again and again, or whose weights do not follow from
    torch's generator. `first` is `seeded_build(make, 0)`, `state` its state."""
    again = seeded_build(make, 0, others=1)
    places = {tensor.data_ptr() for tensor in first.parameters()}
    if first is again or any(tensor.data_ptr() in places for tensor in again.parameters()):
        raise UserError(f"model '{name}': its factory returns the same tensors again, expected a new network")
    if digest_of(state) != digest_of(state_of(again)):
        raise UserError(
            f"model '{name}': its factory gives other weights for the same seed, "
            "expected all randomness to come from torch's generator"
        )


def builds_worth_comparing(module: nn.Module) -> int:
    """How many further builds of a network are compared with the first."""
    return min(MOST, max(1, BUDGET // sum(parameter.numel() for parameter in module.parameters())))


def fixed_weights(
    name: str, make: Make, first: nn.Module, shown: Shown, prunable: tuple[str, ...], builds: int
) -> tuple[str, ...]:
    """Names of the prunable weights that are the same in `builds` further builds, of other seeds.

    Raises UserError where other builds compute something else with the state of the first: then its parameters and
    buffers are not all that it is, and what is saved would not be the network that was trained.
    """
    fixed = list(prunable)
    for seed in range(1, 1 + builds):
        other = seeded_build(make, seed, others=1 + seed)
        state = state_of(other)
        _require_same_function(name, first, other, shown)
        fixed = [key for key in fixed if torch.equal(state[key], shown.state[key])]
    return tuple(fixed)


def _require_same_function(name: str, first: nn.Module, other: nn.Module, shown: Shown) -> None:
    try:
        load_state(other, shown.state)
        same = answers(name, other, shown.x, shown.classes).alike(shown.answers)
    except UserError as problem:
        raise UserError(
            f"model '{name}': its factory builds another network each time ({problem})"
        ) from problem
    if not same:
        raise UserError(
            f"model '{name}': two builds with the same parameters and buffers compute different things: "
            f"{difference(first, other)}"
        )
