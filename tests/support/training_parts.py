"""Tiny data, tiny networks and starts, for the tests of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from support.rounding import made_once
from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.seeds import Seeds, stream
from tombola.training.recipe import Recipe
from tombola.training.start import Start

CPU = torch.device("cpu")
CLASSES = 3


class Odd(nn.Module):
    """What foreign networks are made of: batch norm, dropout of two kinds, grouped and dilated convolutions,
    a shared weight, a buffer that is assigned anew in training, a layer that is never used."""

    mean: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int, p: float = 0.3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 4, 3, padding=1)
        # No bias before the norm: its gradient is 0 but for rounding, which Adam would blow up to full steps.
        self.depth = nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop2 = nn.Dropout2d(p)
        self.fc = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.fc.weight
        self.drop = nn.Dropout(p)
        self.idle = nn.Linear(3, 3)
        self.head = nn.Linear(4, classes)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop2(self.norm(self.depth(self.conv(x).relu())).relu()).mean((2, 3))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        x = self.drop(self.tied(self.fc(x - self.mean).relu()))
        out: Tensor = self.head(x)
        return out


def calm(shape: tuple[int, ...], classes: int) -> nn.Module:
    """The odd network without noise."""
    return Odd(shape, classes, p=0.0)


def arrays(shape: tuple[int, ...] = (6,), n: int = 50, n_test: int = 20, seed: int = 0) -> Dataset:
    """Three noisy clusters, n training examples."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CLASSES, *shape))

    def part(size: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(size) % CLASSES
        return centres[y] + rng.standard_normal((size, *shape)), y

    return from_arrays(part(n), part(n_test))


def resident(dataset: Dataset | None = None) -> Resident:
    return Resident(dataset or arrays(), "standard", CPU)


IMAGES = (2, 6, 6)
KINDS: Mapping[str, tuple[Any, tuple[int, ...], str]] = {
    "mlp": ("lenet-7-5", (6,), "mlp"),
    "mlp sparse": ("lenet-7-5", (6,), "sparse"),
    "mlp by module": ("lenet-7-5", (6,), "modules"),
    "odd": (Odd, IMAGES, "modules"),
    "calm": (calm, IMAGES, "modules"),
}
"""Name -> model, input shape, engine."""


def kind(name: str) -> tuple[Architecture, Resident, str]:
    """Architecture, data and engine."""
    _, shape, engine = KINDS[name]
    return _described(name), resident(arrays(shape)), engine


@made_once
def _described(name: str) -> Architecture:
    """Describing a network takes longer than many a test of it."""
    model, shape, _ = KINDS[name]
    return architecture(model, shape, CLASSES)


def dense(arch: Architecture) -> Mask:
    return Mask.dense(arch.prunable_shapes)


def sparse(arch: Architecture, seed: int = 0, density: float = 0.5) -> Mask:
    """Half of the weights of each tensor at random places."""
    rng = stream(seed, "mask")
    bits = {}
    for name in arch.prunable:
        flat = np.zeros(int(np.prod(arch.shapes[name])), dtype=bool)
        flat[rng.permutation(flat.size)[: max(1, round(density * flat.size))]] = True
        bits[name] = torch.from_numpy(flat).view(arch.shapes[name])
    return Mask(bits)


def start(arch: Architecture, r: int = 0, mask: Mask | None = None, **other: Any) -> Start:
    """A start of replicate r: its initial state, dense unless a mask is given."""
    seeds = Seeds.replicate(0, r)
    state = other.pop("state", None) or arch.initial(seeds.stream("init"))
    return Start(state, mask or dense(arch), seeds, **other)


def recipe(**other: Any) -> Recipe:
    """Twelve steps; 45 training examples make an epoch of 5.6 batches, so that some straddle."""
    return Recipe(**{"iterations": 12, "batch": 8, "lr": 0.01, "evaluate_every": 4} | other)


def same(a: State | None, b: State | None) -> bool:
    """Bit-equal states, NaN included."""
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(
        torch.equal(torch.as_tensor(a[n]).nan_to_num(7e7), torch.as_tensor(b[n]).nan_to_num(7e7)) for n in a
    )


def assert_close(a: State, b: State, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
