"""How the weights of named networks are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tombola.models.state import State, prunable, state_of


def glorot(module: nn.Module, rng: np.random.Generator) -> State:
    """Gaussian Glorot weights: the deviation is sqrt(2 / (fan_in + fan_out)) (F19, Figure 2)."""
    return _gaussian(module, rng, lambda fan_in, fan_out: 2 / (fan_in + fan_out))


def kaiming(module: nn.Module, rng: np.random.Generator) -> State:
    """Gaussian Kaiming weights: the deviation is sqrt(2 / fan_in) (He et al. 2015, section 2.2)."""
    return _gaussian(module, rng, lambda fan_in, fan_out: 2 / fan_in)


def _gaussian(module: nn.Module, rng: np.random.Generator, variance: Callable[[int, int], float]) -> State:
    """Gaussian prunable weights and zero biases, drawn parameter after parameter in module order.

    Norm weights (1) and buffers keep what their constructor gives, which is constant. numpy draws in double
    precision, so that every device gets the same bits.
    """
    state = state_of(module)
    weights = set(prunable(module))
    for name, value in module.named_parameters():
        if name in weights:
            field = math.prod(value.shape[2:])
            fan_out, fan_in = value.shape[0] * field, value.shape[1] * field
            drawn = rng.standard_normal(tuple(value.shape)) * math.sqrt(variance(fan_in, fan_out))
            state[name] = torch.from_numpy(drawn.astype(np.float32))
        elif name.rpartition(".")[2] == "bias":
            state[name] = torch.zeros_like(state[name])
    return state
