"""A ticket really cut out: the smaller network that computes what the masked one does.

A hidden unit stays where it depends on the input and the output depends on it. What another gives all the same is
constant, and goes into the biases of the layers that read it. A convolution that pads sees such a constant less often
at the border; there the bias is a map of the image. The units of a residual stream are those of all layers that write
to it, so that one goes only where it carries nothing in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State, load_state
from tombola.models.units import POINTWISE, UnitGroup, unit_axes
from tombola.transfer.cost import uses_of

CLOSE = 1e-3
"""How far outputs may be apart, beside their largest: rounding stays far below, a unit that is missed does not."""


@dataclass(frozen=True)
class Smaller:
    """A network that was cut out, in evaluation mode: its outputs for a batch are those of the masked one."""

    module: nn.Module
    units: dict[str, int]
    """Weight name -> output units that are left."""
    multiply_adds: dict[str, int]
    """For one example: of the `dense` network, of the `masked` one's living weights, and of all weights of the one
    that was `cut` out."""
    uses: dict[str, int]
    """Weight name -> how often an example uses each of its weights."""


def cut_out(ticket: Ticket, architecture: Architecture, which: Literal["start", "end"] = "end") -> Smaller:
    """The smaller network of a ticket's weights at the start or the end of training.

    Networks whose hidden units can be followed (`unit_axes`) are cut, residual ones among them. Raises UserError for
    other networks, for a ticket of another network or without those weights, and where no input reaches the output.
    """
    whole = masked_module(ticket, architecture, which)
    smaller = masked_module(ticket, architecture, which)
    kept = units_kept(architecture, ticket.mask)
    shifts = _constants(smaller, architecture, kept)
    _cut(smaller, kept)
    for name, shift in shifts.items():
        _shift(smaller, name, shift)
    _require_alike(whole, smaller, architecture)
    units = {
        name: len(kept.get((name, 0), range(shape[0])))
        for name, shape in architecture.prunable_shapes.items()
    }
    uses = {name: use.times for name, use in uses_of(architecture).items()}
    return Smaller(smaller, units, _multiply_adds(architecture, ticket.mask, kept), uses)


def masked_module(ticket: Ticket, architecture: Architecture, which: Literal["start", "end"]) -> nn.Module:
    """The whole network with the masked weights, in evaluation mode. Raises UserError as `cut_out` does."""
    module = architecture.build()
    load_state(module, ticket.mask.apply(ticket.weights(which)))
    return module.eval()


def operations_if_cut(architecture: Architecture, mask: Mask, state: State) -> dict[str, int] | None:
    """The multiply-adds of `Smaller`, None for networks that are not cut."""
    try:
        return _multiply_adds(architecture, mask, units_kept(architecture, mask))
    except UserError:  # units cannot be followed, or no input reaches the output
        return None


Kept = Mapping[tuple[str, int], Tensor]
"""(Parameter or buffer, axis) -> which of its entries along that axis stay, where any goes."""


def units_kept(architecture: Architecture, mask: Mask) -> Kept:
    """What stays of each tensor. Raises UserError for units that cannot be followed, and where none leads from the
    input to the output."""
    groups: list[UnitGroup] = architecture.ask(unit_axes)
    read = _read(architecture, mask)
    found: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        stays = torch.zeros(group.size, dtype=torch.bool)
        for name, axis, positions in group.places:
            if (name, axis) in read:
                stays |= read[name, axis].reshape(group.size, positions).any(1)
        if not stays.any():  # of a block that carries nothing; no layer is empty
            stays[0] = True
        for name, axis, positions in group.places if not stays.all() else ():
            found[name, axis] = stays.repeat_interleave(positions).nonzero().squeeze(1)
    return found


class _Sign(torch.autograd.Function):
    """1 where there is anything, 0 where not, forward and backward: signals that do not grow from layer to layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return (gradient > 0).to(gradient.dtype)


def _read(architecture: Architecture, mask: Mask) -> dict[tuple[str, int], Tensor]:
    """(Weight, axis of its inputs) -> which inputs depend on the network's input where the output depends on them.

    Found in one pass of ones through the network with its mask for weights, and back: whatever is above zero depends.
    Where a network subtracts or multiplies signals that would not be so, which `cut_out` looks for.
    """
    module = architecture.build().double().eval()
    layers, names = _layers(module), {id(tensor): name for name, tensor in module.named_parameters()}
    seen: list[tuple[tuple[str, int], nn.Module, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        x = given[0] * 1  # a tensor of its own, whose gradient is kept
        x.retain_grad()
        seen.append(((names[id(layer._parameters["weight"])], _axes(layer)[0]), layer, x))
        return (x,)

    with torch.no_grad():
        for layer in layers.values():
            for leaf, tensor in layer.named_parameters(recurse=False):
                name = names[id(tensor)]
                tensor.copy_(
                    mask[name] if name in mask else (tensor != 0) if leaf == "weight" else 0 * tensor
                )
            layer.register_forward_pre_hook(note)
            layer.register_forward_hook(lambda layer, given, output: _Sign.apply(output))  # type: ignore[no-untyped-call]
    for name, part in list(module.named_modules()):
        if name and isinstance(part, (_BatchNorm, *POINTWISE)):
            _replace(module, name, nn.Identity())
        elif name and isinstance(
            part, nn.MaxPool2d
        ):  # back to all that is pooled, not to the first of equals
            _replace(module, name, nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode))
        elif name and isinstance(part, nn.AdaptiveMaxPool2d):
            _replace(module, name, nn.AdaptiveAvgPool2d(part.output_size))
    ones = torch.ones_like(architecture.blank(1), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        output = module(ones)
        if not bool((output > 0).any()):
            raise UserError(
                f"model '{architecture.name}': no living weights lead from its input to its output"
            )
        output.sum().backward()
    found: dict[tuple[str, int], Tensor] = {}
    for place, layer, x in seen:
        needed = torch.zeros_like(x) if x.grad is None else (x > 0) & (x.grad > 0)
        along = -1 if isinstance(layer, nn.Linear) else 1
        units = needed.bool().transpose(0, along).flatten(1).any(1)
        found[place] = units | found.get(place, torch.zeros_like(units))
    return found


def _constants(module: nn.Module, architecture: Architecture, kept: Kept) -> dict[str, Tensor]:
    """Name of a layer that reads units which will be cut -> what it gives where the others are zero, bias and all, for
    the units that stay: [1, units, ...]."""
    found: dict[str, Tensor] = {}
    names = {id(tensor): name for name, tensor in module.named_parameters()}

    def note(name: str, layer: nn.Module, x: Tensor) -> None:
        weight, inputs, outputs = names[id(layer._parameters["weight"])], *_axes(layer)
        stays = kept.get((weight, inputs))
        if stays is not None and getattr(layer, "groups", 1) == 1:
            x = x.index_fill(1, stays, 0.0)
            shift = layer.forward(x)
            found[name] = shift.index_select(1, kept.get((weight, outputs), torch.arange(shift.shape[1])))

    layers = _layers(module).items()
    hooks = [layer.register_forward_pre_hook(partial(_told, note, name)) for name, layer in layers]
    with torch.no_grad():
        module(architecture.blank(1))
    for hook in hooks:
        hook.remove()
    return found


def _told(
    note: Callable[[str, nn.Module, Tensor], None], name: str, layer: nn.Module, given: tuple[Tensor]
) -> None:
    note(name, layer, given[0])


def _cut(module: nn.Module, kept: Kept) -> None:
    """Leave of each tensor what stays, and have layers say their sizes."""
    for (name, axis), stays in kept.items():
        owner, _, leaf = name.rpartition(".")
        part = module.get_submodule(owner)
        tensor = getattr(part, leaf)
        small = tensor.detach().index_select(axis, stays)
        setattr(part, leaf, nn.Parameter(small) if isinstance(tensor, nn.Parameter) else small)
    for part in module.modules():
        _name_sizes(part)


def _require_alike(whole: nn.Module, smaller: nn.Module, architecture: Architecture) -> None:
    """Raise UserError where the smaller network computes something else on the examples that it was tried out on."""
    x = architecture.examples.to(architecture.blank(1).dtype)
    with torch.no_grad():
        one, other = whole(x), smaller(x)
    if not torch.allclose(one, other, rtol=0, atol=CLOSE * max(float(one.abs().max()), 1.0), equal_nan=True):
        raise UserError(
            f"model '{architecture.name}': nothing is cut out of it, since what depends on its input is not found by "
            "following living weights (a network that subtracts or multiplies signals)"
        )


def _multiply_adds(architecture: Architecture, mask: Mask, kept: Kept) -> dict[str, int]:
    """Those of the dense, the masked and the cut network for one example."""
    found = {"dense": 0, "masked": 0, "cut": 0}
    for name, use in uses_of(architecture).items():
        left = mask.size(name)
        for axis, size in enumerate(architecture.shapes[name]):
            left = left // size * len(kept.get((name, axis), range(size)))
        for key, count in (("dense", mask.size(name)), ("masked", mask.count(name)), ("cut", left)):
            found[key] += use.times * count
    return found


def _shift(module: nn.Module, name: str, shift: Tensor) -> None:
    """Have a layer add this to its products, [1, units, ...], in place of its bias."""
    part, flat = module.get_submodule(name), shift.reshape(shift.shape[1], -1)
    even = torch.allclose(flat, flat[:, :1].expand_as(flat), rtol=1e-6, atol=1e-7)
    if not even:
        part.register_parameter("bias", None)
        _replace(module, name, Shifted(part, shift))
    elif part.bias is not None or bool(flat.any()):
        part.bias = nn.Parameter(flat[:, 0].clone())


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


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """Name -> layer of all that multiply by a weight."""
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear | _ConvNd)}


def _axes(layer: nn.Module) -> tuple[int, int]:
    """The axes of its weight that list its inputs and its outputs."""
    return (0, 1) if isinstance(layer, _ConvTransposeNd) else (1, 0)


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, part)


def _name_sizes(part: nn.Module) -> None:
    """Have a layer say the sizes that it has now."""
    if isinstance(part, _ConvTransposeNd):
        part.in_channels, part.out_channels = part.weight.shape[:2]
    elif isinstance(part, _ConvNd):
        if part.groups > 1:  # depthwise: every unit stays itself
            part.groups = len(part.weight)
        part.out_channels, part.in_channels = len(part.weight), part.weight.shape[1] * part.groups
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, _BatchNorm):
        tensor = part.running_mean if part.running_mean is not None else part.weight
        part.num_features = part.num_features if tensor is None else len(tensor)
