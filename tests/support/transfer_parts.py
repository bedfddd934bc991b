"""Tickets to send on their way: random ones, and ones whose tensors can be told apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.seeds import stream
from tombola.transfer.route import make

IMAGE, CLASSES = (3, 16, 16), 4


@cache
def net(name: str, shape: tuple[int, ...] = IMAGE) -> Architecture:
    """The architecture of a named network."""
    return architecture(name, shape, CLASSES)


def whole(arch: Architecture, seed: int = 0) -> State:
    """A state with no constant tensor in it: norms and their statistics are random as well."""
    rng = stream(seed, "whole")
    state = {}
    for name, value in arch.initial(rng).items():
        drawn = torch.from_numpy(np.asarray(rng.uniform(0.5, 1.5, tuple(value.shape)))).to(value.dtype)
        state[name] = value if name in arch.prunable else drawn
    return state


def random_mask(arch: Architecture, density: float = 0.3, seed: int = 0) -> Mask:
    """Every weight lives with this chance."""
    rng = stream(seed, "mask")
    shapes = arch.prunable_shapes
    return Mask({name: torch.from_numpy(rng.random(shape) < density) for name, shape in shapes.items()})


def pair(arch: Architecture, density: float = 0.3, seed: int = 0, **provenance: Any) -> list[Ticket]:
    """A ticket, and the dense network that it was drawn from."""
    state, mask = whole(arch, seed), random_mask(arch, density, seed)
    dense = Ticket(Mask.dense(arch.prunable_shapes), state, keys=arch.keys)
    return [Ticket(mask, mask.apply(state), provenance=provenance, keys=arch.keys), dense]


def made(kind: str, tickets: list[Ticket], target: Architecture, seed: int = 0, **options: Any) -> Ticket:
    """What a route makes."""
    return make(kind, tickets, target, options, stream(seed, "transfer"))


def small(*rows: list[list[int]]) -> Mask:
    """The mask of a `lenet-W`, from the rows of its two layers."""
    return Mask(
        {name: torch.tensor(bits) > 0 for name, bits in zip(("fc1.weight", "out.weight"), rows, strict=True)}
    )
