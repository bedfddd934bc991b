"""Comparing whole trainings so that no processor's rounding decides.

Sums that run in another order differ in their last bits. Training multiplies such a difference, Adam above all: it
divides a gradient by its own size, be it nothing but rounding. So a tolerance on weights that were trained in float32
is a bet on one processor. Two ways out are here. `doubled` (as a fixture, `float64`) lets whole trainings run in
float64, whose rounding is half a billion times smaller, and far below any mistake. Where the arithmetic is float32 by
nature, `reach` measures how far a change in the last bits of the start carries in the very same training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from tombola.data.resident import Resident
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import stream
from tombola.training.start import Start
from tombola.training.trained import Trained

P = ParamSpec("P")
T = TypeVar("T")

Train = Callable[[Sequence[Start]], Sequence[Trained]]


def made_once(make: Callable[P, T]) -> Callable[P, T]:
    """Remembers what a function makes, apart for each precision: what a network was tried out on, and what came of it,
    is of the type that modules had then."""

    @cache
    def remembered(precision: torch.dtype, *args: P.args, **kwargs: P.kwargs) -> T:
        return make(*args, **kwargs)

    @wraps(make)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        return remembered(torch.get_default_dtype(), *args, **kwargs)

    return asked


@contextmanager
def doubled() -> Iterator[None]:
    """Modules, initial states and examples that are made in here are of float64, and so is all that follows."""
    normalised, initial, before = Resident._normalised, Architecture.initial, torch.get_default_dtype()

    def examples(self: Resident, raw: Tensor) -> Tensor:
        return normalised(self, raw).double()

    def weights(self: Architecture, rng: np.random.Generator) -> State:
        state = initial(self, rng)
        return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resident, "_normalised", examples)
        patch.setattr(Architecture, "initial", weights)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def assert_same_in_double(found: State, expected: State) -> None:
    """Equal but for rounding in float64. A training multiplies it a thousandfold and more, and is still far from this
    tolerance; whoever is not in float64 has to say so."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.is_floating_point():
            assert found[name].dtype == value.dtype == torch.float64, f"{name} is of {found[name].dtype}"
        torch.testing.assert_close(
            found[name], value, rtol=1e-8, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


def distance(a: State, b: State) -> float:
    """The largest difference of two states."""
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def nudged(start: Start, *path: int) -> Start:
    """A start whose floats are each moved to a neighbour, up or down by lot; zeros, which nothing rounds, stay."""
    rng, state = stream("nudged", *path), dict(start.state)
    for name, value in start.state.items():
        if value.is_floating_point():
            up = torch.from_numpy(np.asarray(rng.random(tuple(value.shape)) < 0.5))
            moved = torch.nextafter(value, torch.where(up, torch.inf, -torch.inf).to(value.dtype))
            state[name] = torch.where(value == 0, value, moved)
    return replace(start, state=state)


def reach(train: Train, starts: Sequence[Start], times: int = 3) -> list[float]:
    """How far apart each network ends when its start is changed in the last bits: the largest of some distances."""
    ends = [trained.end for trained in train(starts)]
    others = [train([nudged(start, i, r) for r, start in enumerate(starts)]) for i in range(times)]
    return [max(distance(end, other[r].end) for other in others) for r, end in enumerate(ends)]


def assert_within_reach(
    found: Sequence[Trained], expected: Sequence[Trained], train: Train, starts: Sequence[Start]
) -> None:
    """Whether trainings from some starts end alike, but for rounding: at most a hundred times as far apart as a change
    in the last bits of the starts carries in `train`, which gave what is expected. Equal sums in another order come
    about as far as that change itself."""
    for r, (ours, theirs, far) in enumerate(zip(found, expected, reach(train, starts), strict=True)):
        apart = distance(ours.end, theirs.end)
        assert apart <= 100 * far, f"network {r} is {apart} away, where the last bits carry {far}"
        assert ours.history["loss"] == pytest.approx(theirs.history["loss"], rel=1e-3, abs=100 * far)
