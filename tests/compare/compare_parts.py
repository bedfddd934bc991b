"""Small networks and subjects that the tests of the compare room share."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tombola.compare import Network, Subject
from tombola.masks import Mask
from tombola.models import state_of
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
    masked = Mask(mask)
    start = {
        name: torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32)) for name, x in dense.items()
    }
    where = f"RUN:r{seed if replicate is None else replicate}"
    return Subject(
        f"{where}/L07/{arm}/0",
        masked,
        masked.apply(start),
        masked.apply(dense),
        dense,
        replicate=where,
        arm=arm,
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
