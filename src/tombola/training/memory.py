"""How many networks fit on a GPU together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tombola.models.architecture import Architecture
from tombola.training.engines.base import ENGINES
from tombola.training.noise import Noise, swap_dropout
from tombola.training.recipe import Recipe

RESERVE = 0.2
"""Share of the free memory that is left: libraries want a workspace, and an allocator never fits without gaps."""
EXAMPLES = 2  # batch norm wants two


@dataclass(frozen=True)
class Footprint:
    """Bytes of one network: all parameters, all buffers, and for each example all activations that are saved for
    the backward pass and the largest of them."""

    parameters: int
    buffers: int
    activations: int
    largest: int

    def total(self, recipe: Recipe, chunk: int) -> int:
        """Bytes of the network in training by the recipe, evaluated `chunk` examples at a time.

        Parameters lie there as weights, gradients, masks, best-so-far and snapshot, beside the optimizer's state: two
        moments of Adam, one of SGD with momentum. While a CUDA graph is recorded there are second ones of weights,
        gradients, buffers and moments. In a backward pass the gradients of activations come on top of the saved ones,
        at most as many again; an evaluation has the input and the output of one layer at a time. In bfloat16 it is
        less, which is not counted on: autocast decides by operation.
        """
        moments = int(recipe.momentum > 0) if recipe.optimizer == "sgd" else 2
        lasting = self.parameters * (5 + moments) + self.buffers * 3
        recording = self.parameters * (2 + moments) + self.buffers
        computing = 2 * max(recipe.batch * self.activations, chunk * self.largest)
        return lasting + recording + computing


def footprint(architecture: Architecture) -> Footprint:
    """Measured by one forward pass on the CPU that notes what autograd saves, whatever the device will be."""
    module = swap_dropout(architecture.build(), Noise(0, torch.device("cpu")))
    module.train()
    x = architecture.blank(EXAMPLES)
    own = [*module.parameters(), *module.buffers()]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor  # kept, so that no later one gets its address

    def give(tensor: Tensor) -> Tensor:
        return tensor

    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, give):
        logits: Any = module(x)
    saved.setdefault(logits.untyped_storage().data_ptr(), logits.untyped_storage().nbytes())
    return Footprint(
        parameters=sum(p.nbytes for p in module.parameters()),
        buffers=sum(b.nbytes for b in module.buffers()),
        activations=math.ceil(sum(saved.values()) / EXAMPLES),
        largest=math.ceil(max(saved.values()) / EXAMPLES),
    )


def networks_that_fit(architecture: Architecture, device: torch.device, recipe: Recipe, engine: str) -> int:
    """Networks that `engine` can train together in the memory that is free on a CUDA device: at least 1.

    On a CPU, where memory is not what limits a stack, it is the engine's `stack_size`.
    """
    kind = ENGINES[engine]
    if device.type == "cpu":
        return kind.stack_size
    free, _ = torch.cuda.mem_get_info(device)
    return fitting(free, footprint(architecture).total(recipe, kind.chunk))


def fitting(free: int, each: int) -> int:
    """How often `each` bytes fit into `free` ones when RESERVE is left: at least once."""
    return max(1, int(free * (1 - RESERVE)) // each)
