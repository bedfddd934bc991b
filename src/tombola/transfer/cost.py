"""What a ticket costs: iterations, operations on living weights and seconds, those of its sources included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.generators import protected

OPERATIONS = 2
"""A multiply-add is two floating-point operations."""


@dataclass(frozen=True)
class Cost:
    """Iterations of training, floating-point operations on living weights, and seconds where they were measured."""

    iterations: float = 0.0
    operations: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.iterations + other.iterations,
            self.operations + other.operations,
            self.seconds + other.seconds,
        )

    def over(self, users: float) -> Cost:
        """The share of one of so many that use what was paid for."""
        if users < 1:
            raise UserError(f"a cost is shared by one user at least, found {users:g}")
        return Cost(self.iterations / users, self.operations / users, self.seconds / users)

    def part(self, share: float) -> Cost:
        """That of a share (0..1) of the training."""
        return Cost(self.iterations * share, self.operations * share, self.seconds * share)


@dataclass(frozen=True)
class Use:
    """How one example uses the weights of a tensor: each is multiplied `times` (at so many output positions of a
    convolution, once in a linear layer), and `inner` is whether the gradient has to go on through it."""

    times: int
    inner: bool


def uses_of(architecture: Architecture) -> dict[str, Use]:
    """Name -> how one example uses each prunable weight of a layer, seen in a forward pass.

    Matrices that were opted in belong to no layer whose product is known, and are left out.
    """
    return architecture.ask(_uses)


def multiply_adds(architecture: Architecture, mask: Mask) -> dict[str, int]:
    """Name -> multiply-adds of the living weights for one example, forward."""
    return {name: use.times * mask.count(name) for name, use in uses_of(architecture).items()}


def of_training(
    architecture: Architecture, mask: Mask, iterations: int, batch: int, seconds: float = 0.0
) -> Cost:
    """The cost of a training of so many iterations on batches of so many examples, see `of_weights`."""
    return Cost(iterations, of_weights(uses_of(architecture), mask.counts(), iterations, batch), seconds)


def of_weights(uses: Mapping[str, Use], living: Mapping[str, int], iterations: int, batch: int) -> float:
    """The floating-point operations of a training, given how many weights live in each tensor.

    Forward, and backward to weights, every living weight takes a multiply-add each time it is used; backward to
    inputs one more, but for layers that read what no parameter has touched. Biases, norms, activations and the
    optimizer are left out, as is what a dense engine computes on dead weights.
    """
    each = sum((3 if use.inner else 2) * use.times * living.get(name, 0) for name, use in uses.items())
    return float(OPERATIONS * each) * iterations * batch


def of_ladder(architecture: Architecture, masks: Iterable[Mask], iterations: int, batch: int) -> Cost:
    """The cost of a ladder: a training under each of these masks, the dense one among them."""
    return sum((of_training(architecture, mask, iterations, batch) for mask in masks), Cost())


def of_route(own: Cost, sources: Sequence[tuple[Cost, int]] = ()) -> Cost:
    """The whole cost of a ticket that was made from others: its own training and its part of each source.

    `sources` are their costs, each with how many tickets are made from that source, the source itself included where
    it is wanted for its own sake: they share it evenly. A ticket whose source costs nothing more has it at
    `Cost()`.
    """
    return sum((cost.over(users) for cost, users in sources), own)


def _uses(architecture: Architecture) -> dict[str, Use]:
    """The uses of an architecture, by hooks on its layers."""
    found: dict[str, Use] = {}
    with protected():
        module = architecture.make()
        module.eval()
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())

        def note(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            before = found.get(name, Use(0, False))
            inner = before.inner or bool(inputs[0].requires_grad)
            found[name] = Use(before.times + _times(layer, inputs[0], output), inner)

        for part in module.modules():
            weight = part._parameters.get("weight")
            if isinstance(part, nn.Linear | _ConvNd) and names.get(id(weight)) in architecture.prunable:
                part.register_forward_hook(partial(note, names[id(weight)]))
        with torch.enable_grad():
            module(architecture.blank(1))
    return found


def _times(layer: nn.Module, given: Tensor, output: Tensor) -> int:
    """How often a layer uses each weight on a batch of one."""
    if isinstance(layer, nn.Linear):
        return output.numel() // output.shape[-1]
    places = given if isinstance(layer, _ConvTransposeNd) else output
    return places.shape[2:].numel()
