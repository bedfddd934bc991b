"""A stack: R networks of one architecture, held as tensors with a leading axis R and trained as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.training.optimizer import Optimizer
from tombola.training.start import Start

Shapes = Mapping[str, tuple[int, ...]]


class Stack:
    """Parameters, buffers and masks of R networks: name -> [R, *shape], on one device.

    After every optimizer step `settle` has left each dead weight exactly at its dead value, with an
    optimizer state of zero, for any optimizer. `moving`: masks may change while the networks train, in place.
    `frozen` are the names of the parameters that are not trained.
    """

    def __init__(
        self,
        architecture: Architecture,
        starts: Sequence[Start],
        device: torch.device,
        moving: bool = False,
    ) -> None:
        if len({start.iteration for start in starts}) != 1:
            raise ValueError("the networks of a stack begin at one iteration")
        states = [start.masked_state() for start in starts]
        self.size, self.device, self.iteration = len(starts), device, starts[0].iteration
        tensors = {name: torch.stack([s[name] for s in states]).to(device) for name in states[0]}
        self.params = {name: tensors[name] for name in architecture.shapes}
        self.buffers = {name: tensor for name, tensor in tensors.items() if name not in self.params}
        self.moving, self.frozen = moving, architecture.frozen
        # A tensor whose weights all live in every network needs no mask, unless some of them may die.
        self.masks = {
            name: torch.stack([s.mask[name] for s in starts]).to(device, tensors[name].dtype)
            for name in architecture.prunable
            if moving or any(s.mask.count(name) < s.mask.size(name) for s in starts)
        }
        pinned = {name for s in starts if s.pinned for name in s.dead if name in self.masks}
        self.pins = {name: tensors[name] * (1 - self.masks[name]) for name in sorted(pinned)}

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the stack, parameters first."""
        return {**self.params, **self.buffers}

    def state(self, r: int) -> State:
        """A copy of network r's state, on the CPU."""
        return {name: tensor[r].detach().cpu().clone() for name, tensor in self.tensors().items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy values into the stack's own tensors."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])

    def silence(self) -> None:
        """Zero the gradient of every dead weight: one fused operation, before the optimizer's step.

        Optimizer state begins at zero, so it stays zero there, and an update made of zeros moves nothing:
        the step leaves dead weights exactly where they are (weight decay of a nonzero dead value aside,
        which `settle` undoes).
        """
        pairs = [(self.params[name].grad, mask) for name, mask in self.masks.items()]
        known = [
            (gradient, mask) for gradient, mask in pairs if gradient is not None
        ]  # frozen ones have none
        if known:
            torch._foreach_mul_([gradient for gradient, _ in known], [mask for _, mask in known])

    def settle(self, optimizer: Optimizer) -> None:
        """Put pinned dead weights (frozen at a nonzero value) back after a step that decayed them."""
        for name, pin in self.pins.items():
            param, mask = self.params[name], self.masks[name]
            param.detach().mul_(mask).add_(pin)
            for state in optimizer.state[param].values():
                if state.shape == param.shape:
                    state.mul_(mask)


def require_same_shapes(architecture: Architecture, starts: Sequence[Start]) -> None:
    """Raise UserError when a start's state or mask does not fit the architecture."""
    state = {**architecture.shapes, **architecture.buffers}
    masked = {name: state[name] for name in architecture.prunable}
    for start in starts:
        _require(architecture.name, {n: tuple(t.shape) for n, t in start.state.items()}, state)
        _require(f"mask of {architecture.name}", start.mask.shapes, masked)


def _require(what: str, found: Shapes, expected: Shapes) -> None:
    for name in (*expected, *found):
        if name not in expected:
            raise UserError(f"{what}: there should be no '{name}'{nearest(name, expected)}")
        if found.get(name) != expected[name]:
            raise UserError(f"{what}: {name} should be {expected[name]}, found {found.get(name, 'nothing')}")
