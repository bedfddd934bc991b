"""What a network does in its forward pass that an engine has to know: tried on the CPU, once for a network."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tombola.errors import UserError, brief
from tombola.models.architecture import Architecture
from tombola.models.generators import CPU, seeded
from tombola.training.noise import Noise, swap_dropout
from tombola.training.recipe import Recipe


@dataclass(frozen=True)
class Habits:
    """Of a network whose dropout layers are ours: whether it draws from the global generators in training mode
    (F.dropout, stochastic depth, ...), whether it changes its input in place, which other networks read too, and
    whether it changes buffers in place in evaluation, too."""

    draws: bool
    overwrites: bool
    remembers: bool


def habits(architecture: Architecture) -> Habits:
    """Those of an architecture; `architecture.ask(habits)` works them out once."""
    module = swap_dropout(architecture.build(), Noise(0, CPU))
    examples = architecture.examples
    return Habits(draws(module, examples), overwrites(module, examples), remembers(module, examples))


def require_batch(architecture: Architecture, recipe: Recipe) -> None:
    """Raise UserError for batches of one where the network cannot be trained on one example, as with batch norm."""
    if recipe.batch == 1 and (why := architecture.ask(_fails_alone)):
        raise UserError(
            f"recipe.batch is 1, and {architecture.name} cannot be trained on one example at a time ({why}); "
            "expected 2 or more"
        )


def _fails_alone(architecture: Architecture) -> str:
    """What happens when the network is shown one example in training mode; nothing, where it answers."""
    module, expected = architecture.build(), (1, architecture.classes)
    module.train()
    try:
        with seeded(0), torch.no_grad():
            logits = module(architecture.examples[:1].clone())
    except Exception as problem:
        return brief(problem)
    shape = tuple(logits.shape)
    return "" if shape == expected else f"outputs of shape {shape} instead of {expected}"


def draws(module: nn.Module, examples: Tensor) -> bool:
    """Whether the network draws from the generators when it is shown the examples in training mode."""
    with seeded(0):
        undisturbed = _next()
    with seeded(0):
        _forward(module, examples.clone())
        return _next() != undisturbed


def overwrites(module: nn.Module, examples: Tensor) -> bool:
    """Whether the network changes the examples that it is shown in training mode."""
    shown = examples.clone()
    version = shown._version
    with seeded(0):
        _forward(module, shown)
    return shown._version != version


def remembers(module: nn.Module, examples: Tensor) -> bool:
    """Whether the network changes its buffers in place when it is shown examples in evaluation mode."""
    module = copy.deepcopy(module)
    versions = [(buffer, buffer._version) for buffer in module.buffers()]
    module.eval()
    with seeded(0), torch.no_grad():
        module(examples.clone())
    return any(buffer._version != version for buffer, version in versions)


def _forward(module: nn.Module, examples: Tensor) -> None:
    """Show examples to a copy of the network in training mode."""
    module = copy.deepcopy(module)
    module.train()
    with torch.no_grad():
        module(examples)


def _next() -> tuple[float, float, float]:
    """What the generators give next."""
    return torch.rand((), dtype=torch.float64).item(), random.random(), np.random.random()  # noqa: NPY002
