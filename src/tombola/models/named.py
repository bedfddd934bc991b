"""The networks known by name. A new one is a function here that takes shape, classes and its options.

A name that ends in `-A-B-...` is a family: its function gets the whole numbers of the name first.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from tombola.errors import UserError, nearest
from tombola.models.state import State, prunable, state_of
from tombola.registry import Registry

Shape = tuple[int, ...]
Factory = Callable[..., nn.Module]

MODELS: Registry[Factory] = Registry("model")
FAMILY = "-A-B-..."
EXAMPLES = {"lenet-A-B-...": "lenet-300-100"}
"""What to suggest for a family to somebody who misspelt one of its names."""


def find(name: str) -> Factory:
    """The function of a named network; an unknown name is a UserError with the nearest one."""
    factory = _lookup(name)
    if factory is not None:
        return factory
    tidy = re.sub(r"[^a-z0-9]+", "-", name.lower())  # lenet-300_100 and LeNet 300 100 alike
    if _lookup(tidy) is not None:
        raise UserError(f"unknown model '{name}'; did you mean '{tidy}'?")
    known = [EXAMPLES.get(key, key) for key in MODELS]
    raise UserError(
        f"unknown model '{name}' (a network of your own is given as 'package.module:factory')"
        f"{nearest(name, known)}"
    )


def _lookup(name: str) -> Factory | None:
    if name in MODELS and not name.endswith(FAMILY):
        return MODELS[name]
    for key in MODELS:
        stem = key.removesuffix(FAMILY)
        if stem != key and re.fullmatch(re.escape(stem) + r"(-[0-9]+)+", name):
            numbers = name.removeprefix(stem + "-").split("-")
            if any(number.startswith("0") for number in numbers):
                raise UserError(f"model '{name}': its widths must be positive, without leading zeros")
            return partial(MODELS[key], tuple(map(int, numbers)))
    return None


@MODELS.register("lenet-A-B-...")
def lenet(widths: tuple[int, ...], /, shape: Shape, classes: int) -> nn.Module:
    """Fully connected ReLU network with hidden layers of widths A, B, ... (lenet-300-100: F19, Figure 2)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    inputs = math.prod(shape)
    for place, width in enumerate(widths, start=1):
        layers[f"fc{place}"] = nn.Linear(inputs, width)
        layers[f"relu{place}"] = nn.ReLU()
        inputs = width
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


CONV_CHANNELS = (64, 128, 256)  # of the first, second and third module (F19, Figure 2)
CONV_HIDDEN = (256, 256)


def conv(depth: int, /, shape: Shape, classes: int, dropout: float = 0.0) -> nn.Module:
    """Conv-2, Conv-4 or Conv-6: modules of two padded 3x3 convolutions and a 2x2 max-pool (F19, Figure 2).

    `dropout` is the rate after each hidden fully connected layer (F19, section 3 uses 0.5).
    Raises UserError for an input that is not [channels, height, width] or too small for the pools.
    """
    name, pools = f"conv-{depth}", depth // 2
    if isinstance(dropout, bool | str) or not 0 <= dropout < 1:
        raise UserError(
            f"model '{name}': option 'dropout' is {dropout!r}, expected a number from 0 to below 1"
        )
    if len(shape) != 3:
        raise UserError(f"model '{name}': input of shape {shape}, expected (channels, height, width)")
    channels, height, width = shape
    if min(height, width) < 2**pools:
        raise UserError(
            f"model '{name}': input of shape {shape} is too small, "
            f"expected a height and width of at least {2**pools}"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for pool in range(pools):
        for place in (2 * pool + 1, 2 * pool + 2):
            layers[f"conv{place}"] = nn.Conv2d(channels, CONV_CHANNELS[pool], kernel_size=3, padding=1)
            layers[f"conv{place}_relu"] = nn.ReLU()
            channels = CONV_CHANNELS[pool]
        layers[f"pool{pool + 1}"] = nn.MaxPool2d(2)
        height, width = height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    inputs = channels * height * width
    for place, hidden in enumerate(CONV_HIDDEN, start=1):
        layers[f"fc{place}"] = nn.Linear(inputs, hidden)
        layers[f"fc{place}_relu"] = nn.ReLU()
        if dropout:
            layers[f"fc{place}_dropout"] = nn.Dropout(dropout)
        inputs = hidden
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


for _depth in (2, 4, 6):
    MODELS.register(
        f"conv-{_depth}",
        f"{_depth} 3x3 convolutions and three linear layers, like VGG (F19, Figure 2); option: dropout",
    )(partial(conv, _depth))


def glorot(module: nn.Module, rng: np.random.Generator) -> State:
    """Gaussian Glorot weights, zero biases (F19, Figure 2), drawn parameter after parameter in module order.

    The deviation is sqrt(2 / (fan_in + fan_out)). Norm weights and buffers keep what their constructor
    gives, which is constant. numpy draws in double precision, so that every device gets the same bits.
    """
    state = state_of(module)
    weights = set(prunable(module))
    for name, value in module.named_parameters():
        if name in weights:
            fan_out, fan_in = value.shape[:2]
            field = math.prod(value.shape[2:])
            deviation = math.sqrt(2 / (field * (fan_in + fan_out)))
            drawn = rng.standard_normal(tuple(value.shape)) * deviation
            state[name] = torch.from_numpy(drawn.astype(np.float32))
        elif name.rpartition(".")[2] == "bias":
            state[name] = torch.zeros_like(state[name])
    return state
