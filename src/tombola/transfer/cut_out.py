"""A ticket really cut out: the smaller network that computes what the masked one does.

Units from which no living weight leads on to the output are left out (as `training/engines/compact.py` does), and so
are those that no input reaches: what they give is constant, and goes into the biases of the layers behind them. A
convolution that pads sees such a constant less often at the border; there the bias is a map of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State, load_state
from tombola.training.engines.chain import Link, leaves
from tombola.training.engines.compact import chain_of, cut, units_left


@dataclass(frozen=True)
class Smaller:
    """A network that was cut out, in evaluation mode: its outputs for a batch are those of the masked one."""

    module: nn.Module
    units: dict[str, int]
    """Weight name -> output units that are left."""
    multiply_adds: dict[str, int]
    """For one example: of the `dense` network, of the `masked` one's living weights, and of all weights of the one
    that was `cut` out."""


def cut_out(ticket: Ticket, architecture: Architecture, which: Literal["start", "end"] = "end") -> Smaller:
    """The smaller network of a ticket's weights at the start or the end of training.

    Plain chains of linear layers, convolutions, batch norms, ReLUs and pools are cut. Raises UserError for other
    networks, such as those with residual streams, for a ticket of another network or without those weights, and
    where no input reaches the output.
    """
    plan = _planned(architecture, ticket.mask, ticket.weights(which))
    for link, entering, leaving in plan.steps:
        part = plan.module.get_submodule(link.name)
        if len(entering) < link.entering or len(leaving) < link.leaving:
            cut(part, link, entering, leaving)
            _name_sizes(part)
        if link.weight:
            _replace(plan.module, link.name, _shifted(part, plan.shifts[link.name][:, leaving]))
    units = {link.weight: len(leaving) for link, _, leaving in plan.steps if link.weight}
    return Smaller(plan.module, units, plan.multiply_adds(ticket.mask))


def operations_if_cut(architecture: Architecture, mask: Mask, state: State) -> dict[str, int] | None:
    """The multiply-adds of `Smaller`, None for networks that are not cut."""
    if architecture.ask(chain_of) is None:
        return None
    try:
        return _planned(architecture, mask, state).multiply_adds(mask)
    except UserError:  # no input reaches the output
        return None


@dataclass(frozen=True)
class _Plan:
    """The whole network with the masked weights, and what of it stays."""

    module: nn.Module
    steps: Sequence[tuple[Link, Tensor, Tensor]]
    """Each layer with the units that enter and leave it, those that stay."""
    shifts: Mapping[str, Tensor]
    """Name of a layer with a weight -> what it gives where all that is not constant is zero, [1, units, ...]."""

    def multiply_adds(self, mask: Mask) -> dict[str, int]:
        found = {"dense": 0, "masked": 0, "cut": 0}
        for link, entering, leaving in self.steps:
            if link.weight:
                size = mask.size(link.weight)
                found["dense"] += link.uses * size
                found["masked"] += link.uses * mask.count(link.weight)
                left = size * len(entering) * len(leaving) // (link.entering * link.leaving)
                found["cut"] += link.uses * left
        return found


def _planned(architecture: Architecture, mask: Mask, state: State) -> _Plan:
    chain = architecture.ask(chain_of)
    if chain is None:
        raise UserError(
            f"model '{architecture.name}': nothing is cut out of it, since it is no plain chain of linear layers, "
            "convolutions, batch norms, activations and pools (residual streams are none)"
        )
    module = architecture.build()
    load_state(module, mask.apply(state))
    module.eval()
    constant, shifts = _constants(module, chain, architecture, mask)
    living = {}
    weighted = [link for link in chain if link.weight]
    for link in weighted:
        entering, leaving = constant[link.name]
        whole = mask[link.weight or ""].reshape(link.leaving, link.entering, -1)
        living[link.weight or ""] = whole & ~entering.view(1, -1, 1) & ~leaving.view(-1, 1, 1)
    kept = units_left(chain, living)
    if not all(map(len, kept)):
        raise UserError(f"model '{architecture.name}': no living weights lead from its input to its output")
    return _Plan(module, list(zip(chain, kept, kept[1:], strict=False)), shifts)


def _constants(
    module: nn.Module, chain: Sequence[Link], architecture: Architecture, mask: Mask
) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Of each layer with a weight: which units that enter and leave it are constant, and what it gives where the others
    are zero."""
    found, shifts = {}, {}
    x = architecture.blank(1)
    constant = torch.zeros(x.shape[1], dtype=torch.bool)
    with torch.no_grad():
        for link, (name, part) in zip(chain, leaves(module), strict=True):
            x = part(x)
            if link.weight:
                living = mask[link.weight].reshape(link.leaving, link.entering, -1).any(2)
                before, constant = constant, ~(living & ~constant).any(1)
                found[name], shifts[name] = (before, constant), x
            entries = constant.repeat_interleave(x.shape[1] // len(constant))
            x = x * entries.view(1, -1, *(1,) * (x.dim() - 2))
    return found, shifts


def _shifted(part: nn.Module, shift: Tensor) -> nn.Module:
    """A layer that adds this to its products, [1, units, ...], in place of its bias."""
    flat = shift.reshape(shift.shape[1], -1)
    even = torch.allclose(flat, flat[:, :1].expand_as(flat), rtol=1e-6, atol=1e-7)
    if not even:
        part.register_parameter("bias", None)
        return Shifted(part, shift)
    if part.bias is not None or bool(flat.any()):
        part.bias = nn.Parameter(flat[:, 0].clone())
    return part


class Shifted(nn.Module):
    """A convolution with a bias at every place of the image, [1, channels, height, width]."""

    def __init__(self, layer: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.shift = nn.Parameter(shift.clone())

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, height, width] to [batch, channels, height, width] as the layer has it."""
        products: Tensor = self.layer(x)
        return products + self.shift


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, part)


def _name_sizes(part: nn.Module) -> None:
    """Have a layer say the sizes that it has now."""
    if isinstance(part, nn.Conv2d):
        part.out_channels, part.in_channels = part.weight.shape[:2]
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, nn.BatchNorm2d):
        part.num_features = len(part.running_mean if part.running_mean is not None else part.weight)
