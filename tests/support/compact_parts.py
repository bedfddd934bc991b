"""Small networks to cut, and masks that leave dead ends in them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from support.rounding import made_once
from support.training_parts import CLASSES, CPU, IMAGES
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import stream
from tombola.training.engines.base import Job
from tombola.training.engines.modules import ModulesEngine
from tombola.training.stack import Stack
from tombola.training.start import Start


def plain_conv(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Biases everywhere, a pool and a flatten between convolutions and linear layers."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1), nn.ReLU(),
        nn.Conv2d(6, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, classes),
    )  # fmt: skip


def normed(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Batch norm, before the first weights too, strides, nested sequences, a global pool."""
    block = nn.Sequential(
        nn.Conv2d(6, 7, 3, 2, 1, bias=False), nn.BatchNorm2d(7), nn.ReLU(), nn.AvgPool2d(2, 1)
    )
    # Padded, since the norms would cancel the first bias elsewhere: its gradient would be 0 but for rounding, which
    # Adam would blow up to full steps.
    features = nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, affine=False), nn.ReLU(), block
    )
    return nn.Sequential(
        nn.BatchNorm2d(shape[0]), features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, classes)
    )


def noisy(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Dropout of entries and of channels behind what is cut, also flattened."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(24, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, classes),
    )  # fmt: skip


def tower(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Convolutions to the end."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 8, 3), nn.ReLU(), nn.Conv2d(8, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


NETWORKS: dict[str, Any] = {
    "conv": plain_conv, "normed": normed, "noisy": noisy, "tower": tower, "mlp": "lenet-12-9", "conv-2": "conv-2",
}  # fmt: skip


@made_once
def net(name: str) -> Architecture:
    return architecture(NETWORKS[name], IMAGES, CLASSES)


def random_mask(arch: Architecture, seed: int) -> Mask:
    """Weights that live at random, fewer and fewer from seed to seed, and whole tensors now and then."""
    rng = stream(seed, "compact")
    bits = {}
    for name in arch.prunable:
        density = rng.choice([0.02, 0.05, 0.1, 0.3, 1.0])
        bits[name] = torch.from_numpy(rng.random(arch.shapes[name]) < density)
    return Mask(bits)


def engine_of(arch: Architecture, starts: list[Start]) -> tuple[ModulesEngine, Stack]:
    stack = Stack(arch, starts, CPU)
    return ModulesEngine(Job(arch, stack, [0] * len(starts), [9] * len(starts))), stack


def ones(arch: Architecture) -> dict[str, torch.Tensor]:
    """The bits of a mask in which all live, to be changed."""
    return {name: torch.ones(arch.shapes[name], dtype=torch.bool) for name in arch.prunable}
