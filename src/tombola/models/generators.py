"""Generators that foreign networks draw from: the global ones of torch, numpy and Python.

Stochastic depth, functional dropout and the like draw in their forward pass. Seeded afresh before each pass, such a
network sees the same noise alone and in a stack, and equal runs have equal bits; afterwards the generators are as
they were.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

CPU = torch.device("cpu")


def seed_all(key: int) -> None:
    """Seed the generators, a GPU's too; only where they are put back."""
    # Not torch.manual_seed, which at every step would write down the call stack for accelerators that are not in use.
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(key)
    seed_others(key)


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


@contextmanager
def seeded(key: int, others: int | None = None) -> Iterator[None]:
    """A place on the CPU where torch draws from `key`, numpy and Python from `others` (the same, if left out)."""
    with put_back(), torch.device("cpu"):
        # Not torch.manual_seed, which would also reseed the accelerators' generators for good.
        torch.default_generator.manual_seed(key)
        seed_others(key if others is None else others)
        yield


def seed_others(key: int) -> None:
    """Seed numpy's global generator and Python's; only where they are put back."""
    random.seed(key)
    np.random.seed(key % (1 << 32))  # noqa: NPY002 - the one that foreign code draws from


@contextmanager
def protected(seed: int | None = None) -> Iterator[None]:
    """Torch's CPU generator is put back afterwards (seeded within, if asked); new tensors lie on the CPU."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            # Not torch.manual_seed, which would also reseed the accelerators' generators for good.
            torch.default_generator.manual_seed(seed)
        yield
