"""Generators that foreign networks draw from: torch's, numpy's and Python's own, which are everybody's.

Stochastic depth, functional dropout and the like draw in their forward pass. Seeded afresh before each pass, such a
network sees the same noise alone and in a stack, and equal runs have equal bits; afterwards the generators are as
they were. All trials here are on the CPU, where there is one generator of torch's to watch, on a
few examples, or on made-up ones.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from tombola.errors import UserError

CPU = torch.device("cpu")


def seed_all(key: int) -> None:
    """Seed the generators; only where they are put back."""
    torch.manual_seed(key)
    random.seed(key)
    np.random.seed(key % (1 << 32))  # noqa: NPY002 - the one that foreign code draws from


@contextmanager
def put_back(device: torch.device = CPU) -> Iterator[None]:
    """A place where the generators may be seeded and drawn from; outside of it they are as before."""
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)  # noqa: NPY002


def draws(module: nn.Module, shape: tuple[int, ...], examples: Tensor | None = None) -> bool:
    """Whether the network draws from the generators in training mode (F.dropout, stochastic depth, ...)."""
    with put_back():
        seed_all(0)
        undisturbed = _next()
        seed_all(0)
        _forward(module, _example(shape, examples))
        return _next() != undisturbed


def overwrites(module: nn.Module, shape: tuple[int, ...], examples: Tensor | None = None) -> bool:
    """Whether the network changes its input in place, which others may be about to read."""
    example = _example(shape, examples)
    version = example._version
    with put_back():
        _forward(module, example)
    return example._version != version


def require_repeatable(
    module: nn.Module, shape: tuple[int, ...], name: str, examples: Tensor | None = None
) -> None:
    """Raise UserError for a network that draws from a generator of its own, which nobody here can seed."""
    with put_back():
        seed_all(0)
        first = _forward(module, _example(shape, examples))
        seed_all(0)
        second = _forward(module, _example(shape, examples))
    # Not to the bit: how a product is rounded may depend on where in memory its operands lie.
    if not torch.allclose(first, second, rtol=1e-4, equal_nan=True):
        raise UserError(
            f"{name} draws noise that cannot be repeated: the same weights, inputs and seeds gave two outputs; "
            "expected noise from torch's generator, numpy's global one or Python's random"
        )


def _forward(module: nn.Module, example: Tensor) -> Tensor:
    """What a copy of the network makes of the example in training mode."""
    with torch.no_grad():
        outputs: Tensor = copy.deepcopy(module).train()(example)
    return outputs


def _example(shape: tuple[int, ...], examples: Tensor | None) -> Tensor:
    if examples is not None:
        return examples.clone()
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


def _next() -> tuple[float, float, float]:
    """What the generators give next."""
    return torch.rand((), dtype=torch.float64).item(), random.random(), np.random.random()  # noqa: NPY002
