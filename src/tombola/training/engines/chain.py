"""Networks that are plain sequences of layers, whose functions can be read off their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tombola.models.trial import hooked
from tombola.training.noise import CounterDropout


def plain(module: nn.Module) -> bool:
    """Whether a network is a sequence that computes what its parts say: no forward of its own, no hooks, and every
    parameter is trained and stands in one place."""
    places = [id(param) for _, param in module.named_parameters(remove_duplicate=False)]
    frozen = any(not param.requires_grad for param in module.parameters())
    return _is_sequence(module) and not (hooked(module) or frozen or len(set(places)) < len(places))


def leaves(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The layers of nested sequences in the order of computing, with their names; a layer that stands in several
    places is there several times."""
    if not _is_sequence(module):
        return [(name, module)]
    inner = module._modules.items()  # not named_children, which leaves out the second place
    return [leaf for key, part in inner if part for leaf in leaves(part, f"{name}.{key}".lstrip("."))]


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


@dataclass(frozen=True)
class Layer:
    """One Linear of the chain: its weight, its bias if it has one, and whether a ReLU follows."""

    weight: str
    bias: str | None
    relu: bool


def chain(module: nn.Module) -> list[Layer] | None:
    """The Linear layers of a Flatten-Linear-ReLU-... sequence, or None when the module is anything else."""
    if not plain(module):
        return None
    layers: list[Layer] = []
    # Not named_children, which leaves out the second place of a ReLU that stands in two.
    for index, (name, part) in enumerate(module._modules.items()):
        if type(part) is nn.Flatten and index == 0 and (part.start_dim, part.end_dim) == (1, -1):
            continue
        if type(part) is nn.Linear:
            layers.append(Layer(f"{name}.weight", f"{name}.bias" if part.bias is not None else None, False))
        elif type(part) is nn.ReLU and layers and not layers[-1].relu:
            layers[-1] = Layer(layers[-1].weight, layers[-1].bias, True)
        else:
            return None
    return None if not layers or layers[-1].relu else layers


ON_IMAGES = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
ANYWHERE = (nn.ReLU, nn.Flatten, CounterDropout)
"""Beside linear layers, those that are known: convolutions, and layers in which no unit sees another one."""


@dataclass(frozen=True)
class Link:
    """A layer of a chain: its name and that of its weight (a linear layer or convolution has one), how many units
    enter and leave it, how many features each that enters has (pixels, once flattened), and how often an example
    uses each weight."""

    name: str
    weight: str | None
    entering: int
    leaving: int
    features: int
    uses: int


def links(module: nn.Module, input_shape: Sequence[int]) -> list[Link] | None:
    """The layers of a plain chain of convolutions, linear layers and layers that treat every unit by itself, in the
    order of computing; None for any other network. `module` is a copy on the CPU, its dropout swapped; it is left in
    evaluation mode."""
    module.eval()
    parts = leaves(module)
    stateful = [part for _, part in parts if isinstance(part, nn.BatchNorm2d | CounterDropout)]
    if not plain(module) or len(set(stateful)) < len(stateful):
        return None
    chain, x, units = list[Link](), torch.zeros(1, *input_shape), input_shape[0]
    for name, part in parts:
        if not _is_known(part, x):
            return None
        entering, features = units, x.shape[1] // units
        with torch.no_grad():
            x = part(x)
        weighted = isinstance(part, nn.Conv2d | nn.Linear)
        units = x.shape[1] if weighted else units
        weight = f"{name}.weight" if weighted else None
        chain.append(Link(name, weight, entering, units, features, x.shape[2:].numel()))
    return chain


def _is_known(part: nn.Module, x: Tensor) -> bool:
    """Whether a layer that is given x is one that can be cut, or that lets cuts pass."""
    if type(part) is nn.Flatten:
        return (part.start_dim, part.end_dim) == (1, -1)
    if type(part) is nn.Linear:
        return x.dim() == 2
    if getattr(part, "groups", 1) > 1 or getattr(part, "return_indices", False):
        return False
    return type(part) in ANYWHERE or (type(part) in ON_IMAGES and x.dim() == 4)
