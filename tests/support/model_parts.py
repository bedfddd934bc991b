"""What the tests of the networks share: sizes by role, and states in which no number is special."""

from __future__ import annotations

import math
from collections import Counter

import torch

from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import stream

SMALL = ("lenet-7-5", "lenet-5", "conv-2", "resnet-14", "resnet-14-w2", "vgg-11", "wrn-8-2", "vit-4-1-64")
"""One of each kind, small enough to be built again and again."""


def sizes(arch: Architecture) -> dict[str, int]:
    """Prunable name -> number of weights."""
    return {name: math.prod(arch.shapes[name]) for name in arch.prunable}


def by_role(arch: Architecture) -> dict[str, int]:
    """Role -> number of weights."""
    counts: Counter[str] = Counter()
    for name, size in sizes(arch).items():
        counts[arch.roles[name]] += size
    return dict(counts)


def parameters(arch: Architecture) -> int:
    """All parameters: weights, biases and those of norms."""
    return sum(map(math.prod, arch.shapes.values()))


def odd_state(arch: Architecture, seed: int = 0) -> State:
    """Every parameter and every statistic of a norm drawn, so that one left out or swapped would show."""
    rng = stream(seed, "odd state")
    state = arch.initial(stream(seed, "init"))
    for name, value in state.items():
        drawn = torch.from_numpy(rng.uniform(0.5, 1.5, tuple(value.shape))).to(value.dtype)
        if name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
            state[name] = drawn
        elif name.endswith(("bias", "running_mean")):
            state[name] = drawn - 1
    return state
