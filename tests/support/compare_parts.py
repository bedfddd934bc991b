"""Small networks and subjects that the tests of the compare room share."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.masks.mask import Mask
from tombola.models.state import state_of
from tombola.models.units import UnitGroup


def mlp(*widths: int) -> Network:
    """The network of layers fc1, fc2, ..., with weights [out, in] and biases, whose inner widths can be relabelled."""
    groups = []
    for layer in range(1, len(widths) - 1):
        places = ((f"fc{layer}.weight", 0, 1), (f"fc{layer}.bias", 0, 1), (f"fc{layer + 1}.weight", 1, 1))
        groups.append(UnitGroup(widths[layer], places))
    return Network(tuple(groups))


def shapes(*widths: int) -> dict[str, tuple[int, int]]:
    """Weight name -> shape of such a network."""
    return {f"fc{i + 1}.weight": (widths[i + 1], widths[i]) for i in range(len(widths) - 1)}


def tensors(**rows: list) -> dict[str, torch.Tensor]:
    """`fc1=[[...]]` -> {"fc1.weight": tensor}."""
    return {f"{name}.weight": torch.tensor(values, dtype=torch.float32) for name, values in rows.items()}


def ternary(name: str = "a", **rows: list) -> Subject:
    """A subject whose living weights are the entries that are not zero, at the start and at the end."""
    state = tensors(**rows)
    return Subject(name, Mask({key: value != 0 for key, value in state.items()}), state, state, state)


def random_subject(
    seed: int, widths: tuple[int, ...], density: float, arm: str = "ticket", replicate: int | None = None
) -> Subject:
    """A Gaussian dense network pruned by magnitude in each layer; nothing shared between seeds."""
    rng = np.random.default_rng(seed)
    dense, mask = {}, {}
    for name, shape in shapes(*widths).items():
        weights = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        keep = max(1, round(weights.numel() * density))
        order = weights.abs().reshape(-1).argsort(descending=True)[:keep]
        living = torch.zeros(weights.numel(), dtype=torch.bool)
        living[order] = True
        dense[name], mask[name] = weights, living.view(shape)
        dense[name.replace("weight", "bias")] = torch.from_numpy(
            rng.standard_normal(shape[0]).astype(np.float32)
        )
    return _pruned(rng, seed if replicate is None else replicate, arm, Mask(mask), dense)


def convnet() -> Network:
    """Two 3 x 3 convolutions from 2 images to 6 and 8 channels, and 3 classes after a pool over the image."""
    return Network(
        (
            UnitGroup(6, (("conv1.weight", 0, 1), ("conv2.weight", 1, 1))),
            UnitGroup(8, (("conv2.weight", 0, 1), ("out.weight", 1, 1))),
        )
    )


def random_convnet(seed: int, density: float) -> Subject:
    """Gaussian weights of that network, of which a random share lives."""
    rng = np.random.default_rng(seed)
    sizes = {"conv1.weight": (6, 2, 3, 3), "conv2.weight": (8, 6, 3, 3), "out.weight": (3, 8)}
    dense = {
        name: torch.from_numpy(rng.standard_normal(size).astype(np.float32)) for name, size in sizes.items()
    }
    mask = {name: torch.from_numpy(rng.random(size) < density) for name, size in sizes.items()}
    return _pruned(rng, seed, "ticket", Mask(mask), dense)


def _pruned(
    rng: np.random.Generator, replicate: int, arm: str, masked: Mask, dense: dict[str, torch.Tensor]
) -> Subject:
    """A subject whose start has nothing to do with its end, which is that of the dense network."""
    start = {
        name: torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32)) for name, x in dense.items()
    }
    where = f"RUN:r{replicate}"
    return Subject(
        f"{where}/L07/{arm}/0",
        masked,
        masked.apply(start),
        masked.apply(dense),
        dense,
        replicate=where,
        arm=arm,
        dense_start=start,
    )


def shuffled(network: Network, seed: int) -> tuple[np.ndarray, ...]:
    """A random order of every group's units."""
    rng = np.random.default_rng(seed)
    return tuple(rng.permutation(group.size) for group in network.groups)


def trained_looking(module: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """A state whose norm parameters and statistics are not those of a fresh network."""
    rng = torch.Generator().manual_seed(seed)
    state = state_of(module)
    for name, value in state.items():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=rng)
            state[name] = drawn.abs() + 0.5 if name.endswith("running_var") else drawn
    return state
