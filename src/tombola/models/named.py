"""The networks known by name, and how their weights are drawn.

A new one is a function that takes shape, classes and its options. The name of a family (see FAMILIES) has
capitals that stand for whole numbers (`-A-B-...` for one or more): its function gets their tuple first.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
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
FAMILIES = {
    "lenet-A-B-...": "lenet-300-100",
    "resnet-D-wK": "resnet-20-w4",
    "vgg-D-wK": "vgg-16-w2",
    "vit-P-D-W": "vit-4-6-192",
    "wrn-D-K": "wrn-32-2",
}
"""Family -> one of its names, which is suggested to somebody who misspelt one."""


def find(name: str) -> Factory:
    """The function of a named network; an unknown name is a UserError with the nearest one."""
    factory = _lookup(name)
    if factory is not None:
        return factory
    tidy = re.sub(r"[^a-z0-9]+", "-", name.lower())  # lenet-300_100 and LeNet 300 100 alike
    if _lookup(tidy) is not None:
        raise UserError(f"unknown model '{name}'; did you mean '{tidy}'?")
    known = [FAMILIES.get(key, key) for key in MODELS]
    raise UserError(
        f"unknown model '{name}' (a network of your own is given as 'package.module:factory')"
        f"{nearest(name, _of_its_kind(tidy, known) or known)}"
    )


def is_ours(name: str) -> bool:
    """Whether the function of a named network is one of this package: they are tried out in its tests."""
    found: object = find(name)
    while isinstance(found, partial):
        found = found.func
    return getattr(found, "__module__", "").startswith("tombola.")


def _lookup(name: str) -> Factory | None:
    if name in MODELS and name not in FAMILIES:
        return MODELS[name]
    for key in FAMILIES:
        pattern = re.sub("[A-Z]", "[0-9]+", key.replace("-A-B-...", "(-[0-9]+)+"))
        if re.fullmatch(pattern, name):
            if any(number.startswith("0") for number in re.findall("[0-9]+", name)):
                raise UserError(f"model '{name}': its numbers must be positive, without leading zeros")
            return partial(MODELS[key], _numbers(name))
    return None


def _of_its_kind(name: str, known: Iterable[str]) -> list[str]:
    """The nearest of the known names that differ by their numbers only: resnet-20 for resnet-21."""

    def far(other: str) -> list[int]:
        return [abs(n - m) for n, m in zip(_numbers(other), _numbers(name), strict=True)]

    kin = [each for each in known if re.sub("[0-9]+", "#", each) == re.sub("[0-9]+", "#", name)]
    return sorted(kin, key=far)[:1]


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", name)))


def require_depth(name: str, depth: int, valid: Collection[int]) -> None:
    """Raise UserError for a depth that the family of this network does not have, with the nearest one."""
    if depth not in valid:
        near = min(valid, key=lambda each: abs(each - depth))
        listed = ", ".join(map(str, sorted(valid)))
        raise UserError(f"model '{name}': no depth {depth}, expected one of: {listed}; the nearest is {near}")


def require_image(name: str, shape: Shape, least: int) -> tuple[int, int, int]:
    """The shape as (channels, height, width); UserError where it is none, or has a side below `least`."""
    if len(shape) != 3:
        raise UserError(f"model '{name}': input of shape {shape}, expected (channels, height, width)")
    channels, height, width = shape
    if min(height, width) < least:
        raise UserError(
            f"model '{name}': input of shape {shape} is too small, "
            f"expected a height and width of at least {least}"
        )
    return channels, height, width


@MODELS.register("lenet-A-B-...")
def lenet(widths: tuple[int, ...], /, shape: Shape, classes: int) -> nn.Module:
    """Fully connected ReLU network with hidden layers of widths A, B, ... (Frankle & Carbin 2019, Figure 2).

    `lenet-5` is none of these but LeCun's network, under which name everybody knows it.
    """
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
    channels, height, width = require_image(name, shape, 2**pools)
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
        f"{_depth} 3x3 convolutions and three linear layers, like VGG; option: dropout "
        "(Frankle & Carbin 2019, Figure 2)",
    )(partial(conv, _depth))


@MODELS.register("lenet-5")
def lenet5(shape: Shape, classes: int) -> nn.Module:
    """5x5 convolutions of 6 and 16, linear layers of 120 and 84, ReLU and max-pool (LeCun et al. 1998).

    That is LeNet-5 as it is built today; its own units, pools and output were others. Images with a side
    below 32 get two zeros all around, as LeCun brought the 28 of MNIST to 32.

    Raises UserError for an input that is no image or has a side below 12.
    """
    channels, height, width = require_image("lenet-5", shape, 12)
    padding = 2 if min(height, width) < 32 else 0
    height, width = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, kernel_size=5, padding=padding),
            conv1_relu=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, kernel_size=5),
            conv2_relu=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * height * width, 120),
            fc1_relu=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            fc2_relu=nn.ReLU(),
            out=nn.Linear(84, classes),
        )
    )


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
