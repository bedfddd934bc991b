"""Factories of networks: finding one, calling it, comparing what it builds, and saying what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tombola.errors import UserError, brief, nearest
from tombola.files import digest_of
from tombola.models.generators import protected, seeded
from tombola.models.hidden import difference
from tombola.models.spec import ModelSpec, Option
from tombola.models.state import State, load_state, state_of
from tombola.models.trial import Answers, answers
from tombola.plugins.load import load_function
from tombola.plugins.source import Code

Make = Callable[[], nn.Module]
MOST, BUDGET = 6, 10_000_000
"""What is drawn by the toss of a coin may fall alike twice: so many builds are compared with the first, as long as they
have no more parameters together, and at least one."""


def load(spec: ModelSpec) -> Callable[..., Any]:
    """The factory that `package.module:factory` or `FILE.py:factory` stands for; modules of the current folder are
    found as well.

    Raises UserError when the module cannot be imported, lacks the name, the name is no factory, or something stored
    names it that is not trusted.
    """
    name = spec.name
    found: Any = load_function(Code(name, spec.options), f"model '{name}'", "factory")
    if isinstance(found, nn.Module):
        raise UserError(
            f"model '{name}': this is a network already built, expected a function that builds one"
        )
    if not callable(found):
        raise UserError(
            f"model '{name}': this is of type {type(found).__name__}, expected a function or class"
        )
    factory: Callable[..., Any] = found
    return factory


def maker(
    name: str,
    factory: Callable[..., Any],
    shape: tuple[int, ...],
    classes: int,
    options: Mapping[str, Option],
    also: Collection[str] = (),
) -> Make:
    """A function that calls the factory with what it accepts of `shape` and `classes`, and with the options.

    `also` are options that are read elsewhere: no keywords of the factory, but fit to be suggested.
    Raises UserError at once for options the factory does not take or parameters it is not given, and at
    each call when the factory fails or returns something else than a module.
    """
    given = _keywords(name, factory, {"shape": shape, "classes": classes}, options, also)

    def make() -> nn.Module:
        try:
            module = factory(**given)
            if isinstance(module, nn.Module):
                return module.cpu()
        except UserError:
            raise
        except Exception as problem:
            raise UserError(f"model '{name}': its factory failed ({brief(problem)})") from problem
        raise UserError(
            f"model '{name}': its factory returned type {type(module).__name__}, expected an nn.Module"
        )

    return make


def _keywords(
    name: str,
    factory: Callable[..., Any],
    known: Mapping[str, Any],
    options: Mapping[str, Option],
    also: Collection[str],
) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # written in C: it has to look after its arguments by itself
        return dict(options)
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    given = {key: value for key, value in known.items() if key in by_name}
    for option in options:
        if option in given:
            raise UserError(f"model '{name}': option '{option}' comes from the data and cannot be set")
        if option not in by_name and not takes_any:
            valid = by_name.difference(known).union(also)
            raise UserError(f"model '{name}' has no option '{option}'{nearest(option, valid)}")
    given |= options
    for p in parameters:
        required = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if required and (p.name not in given or p.kind == p.POSITIONAL_ONLY):
            raise UserError(
                f"model '{name}': its factory needs '{p.name}', which neither the data nor the options give"
            )
    return given


@dataclass(frozen=True)
class TriedOut:
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
    name: str, make: Make, first: nn.Module, shown: TriedOut, prunable: tuple[str, ...], builds: int
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


def _require_same_function(name: str, first: nn.Module, other: nn.Module, shown: TriedOut) -> None:
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
