"""Inputs and weights that are made up: like the data and like a network's initial weights, and the same everywhere.

They come from named streams and from a few numbers, which are stored beside what a network computes of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from tombola.data.resident import Resident
from tombola.models.architecture import Architecture
from tombola.models.state import State, state_of
from tombola.seeds import stream

EXAMPLES = 4
"""Made-up inputs: enough for batch norm to have a variance."""
SAMPLE = 500
"""Training examples that inputs are made like."""
TILE = 4099
"""Random numbers that are drawn for a tensor, and then repeated: a prime, so no axis of weights repeats with it."""

Spread = dict[str, tuple[float, float]]
"""Parameter -> mean and population deviation of its entries."""


class Inputs(BaseModel):
    """What made-up inputs are like: shape and classes of the data, mean, deviation and range when normalised, and
    whether all are whole numbers, as indices of words are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    classes: int
    mean: float
    deviation: float
    low: float
    high: float
    whole: bool
    targets: Literal["numbers"] | None = None
    """Where they are no classes but as many numbers."""
    several: tuple[Inputs, ...] | None = None
    """What each is like, where a network takes several."""

    @classmethod
    def like(cls, data: Resident) -> Inputs:
        """As some training examples are."""
        rows = torch.arange(0, data.n_train, max(1, data.n_train // SAMPLE), device=data.device)[:SAMPLE]
        x = data.train(rows).double().cpu()
        parts = data.several.apart(x) if data.several else ()
        several = tuple(cls._like(part, tuple(part.shape[1:]), data.classes) for part in parts)
        targets: Literal["numbers"] | None = "numbers" if data.train_y.is_floating_point() else None
        return cls._like(x, data.shape, data.classes, several or None, targets)

    @classmethod
    def _like(
        cls,
        x: Tensor,
        shape: tuple[int, ...],
        classes: int,
        several: tuple[Inputs, ...] | None = None,
        targets: Literal["numbers"] | None = None,
    ) -> Inputs:
        x = x.double()
        moments = {"mean": x.mean(), "deviation": x.std(correction=0), "low": x.min(), "high": x.max()}
        numbers = {name: short(value) for name, value in moments.items()}
        whole = bool((x == x.round()).all())
        return cls(shape=shape, classes=classes, whole=whole, targets=targets, several=several, **numbers)

    def draw(self, *of: int) -> NDArray[Any]:
        """Inputs [EXAMPLES, *shape], float64: normal numbers cut off at the range, or whole numbers out of it. `of` is
        which of several this is."""
        if self.several:
            drawn = [each.draw(i).reshape(EXAMPLES, -1) for i, each in enumerate(self.several)]
            return np.concatenate(drawn, 1)
        rng, size = stream("fingerprint", "inputs", *of), (EXAMPLES, *self.shape)
        if self.whole:
            return rng.integers(math.ceil(self.low), math.floor(self.high) + 1, size).astype(np.float64)
        return np.clip(self.mean + self.deviation * rng.standard_normal(size), self.low, self.high)


def spread_of(architecture: Architecture, state: State) -> Spread:
    """Mean and deviation of every floating-point parameter; those that are empty or not finite are left out."""
    found = {name: state[name].double() for name in architecture.shapes if state[name].is_floating_point()}
    return {
        name: (short(value.mean()), short(value.std(correction=0)))
        for name, value in found.items()
        if value.numel() and bool(value.isfinite().all())
    }


def made_up(module: nn.Module, weights: Mapping[str, tuple[float, float]]) -> State:
    """A state with every floating-point parameter drawn anew, about as large as `weights` says.

    Nothing stays at zero, behind which a branch would be invisible (last gammas, biases, layer scales), and running
    statistics are not those of a network that has seen nothing. Other buffers are as the factory makes them.
    """
    state = state_of(module)
    for name, (mean, deviation) in weights.items():
        shape = state[name].shape
        least = 0.1 / math.sqrt(shape[1:].numel())
        width = max(math.sqrt(3) * deviation, 0.3 * abs(mean), least)
        state[name] = (mean + width * _uniform(name, shape)).to(state[name].dtype)
    for name, value in state.items():
        if name.endswith("running_mean"):
            state[name] = (value + 0.1 * _uniform(name, value.shape)).to(value.dtype)
        elif name.endswith("running_var"):
            state[name] = (value * (1 + 0.3 * _uniform(name, value.shape))).to(value.dtype)
    return state


def _uniform(name: str, shape: torch.Size) -> Tensor:
    """Numbers from -1 to 1 for a tensor, float64; after TILE they are repeated."""
    drawn = stream("fingerprint", "state", name).uniform(-1, 1, min(shape.numel(), TILE))
    return torch.from_numpy(np.resize(drawn, shape.numel())).view(shape)


def short(number: Tensor) -> float:
    """A number to seven digits, which is more than the tolerance looks at."""
    return float(f"{float(number):.7g}")
