"""Wider tickets: hidden units repeated, so that the wider network computes what the narrow one does (Net2WiderNet of
Chen et al. 2016, "Net2Net", section 2.3). That tickets carry over in this way is an open question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd

from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.models.units import UnitGroup, unit_axes
from tombola.transfer.route import CARRIED, ROUTES, Made, MaskFrom, Request, WeightsFrom


@ROUTES.register("widen", reads_end=False, controls=CARRIED)
def widen(
    request: Request,
    /,
    *,
    mask: MaskFrom = "transferred",
    weights: WeightsFrom = "transferred",
    noise: Annotated[float, Field(ge=0)] = 0.0,
) -> Made:
    """A wider network of the same function, hidden units repeated with their masks (after Chen et al. 2016, "Net2Net").

    Unit i of the target is unit i modulo the source's width. What reads a unit has its weight divided by how many
    copies of the unit there are, so that the function at the start is kept. Copies have the same gradients for ever:
    `noise` adds, to living weights of second copies, Gaussian noise of so many deviations of the living weights of
    their tensor, which parts them. Networks are those whose hidden units can be followed (see `unit_axes`), residual
    streams included.

    Raises UserError for networks that differ in more than their width, a narrower target, and transposed convolutions.
    """
    if any(isinstance(part, _ConvTransposeNd) for part in request.target.build().modules()):
        request.refuse(f"'{request.target.name}' has transposed convolutions, expected none")
    groups = unit_axes(request.target)
    start = request.start
    orders = {
        (name, axis): (order, axis == 1)
        for group in groups
        for (name, axis), order in _orders(request, group, start).items()
    }

    def carry(tensors: Mapping[str, Tensor], split: bool = True) -> State:
        wide = {name: value.clone() for name, value in tensors.items()}
        for (name, axis), (order, reads) in orders.items():
            if name not in wide:
                continue
            wide[name] = wide[name].index_select(axis, order)
            if reads and split:
                copies = torch.bincount(order)[order].to(wide[name].dtype)
                wide[name] = wide[name] / copies.view(-1, *(1,) * (wide[name].dim() - 2))
        return wide

    carried = Mask(carry(request.ticket.mask, split=False))
    made, state = request.controlled(carried, carry, mask, weights)
    if noise and weights == "transferred":
        state = {
            **state,
            **{name: _parted(request, name, made[name], state[name], orders, noise) for name in made},
        }
    report = {
        "widths": [[len(order), int(order.max()) + 1] for order in _widths(groups, orders)],
        "source_weights": request.ticket.mask.count(),
        "weights": made.count(),
    }
    return Made(made, state, report)


Orders = dict[tuple[str, int], tuple[Tensor, bool]]
"""(Tensor, axis) -> where each entry along the axis comes from, and whether the tensor reads the units there."""


def _orders(request: Request, group: UnitGroup, start: State) -> dict[tuple[str, int], Tensor]:
    """Of each place that lists the units of a group: where each of its entries comes from in the source."""
    for name, axis, _ in group.places:
        if name not in start or start[name].dim() <= axis:
            request.refuse(
                f"the networks differ in more than their width: '{request.target.name}' has '{name}', and the source "
                "has none such"
            )
    sizes = {start[name].shape[axis] // positions for name, axis, positions in group.places}
    if len(sizes) > 1 or max(sizes) > group.size:
        request.refuse(
            f"'{group.places[0][0]}' of '{request.target.name}' lists {group.size} hidden units, and the source has "
            f"{' or '.join(map(str, sorted(sizes)))} there, expected as many or fewer"
        )
    [size] = sizes
    units = torch.arange(group.size) % size
    return {
        (name, axis): (units[:, None] * positions + torch.arange(positions)).reshape(-1)
        for name, axis, positions in group.places
    }


def _widths(groups: list[UnitGroup], orders: Orders) -> list[Tensor]:
    """Of each group, where its units come from, entry by entry of the first place that lists them one by one."""
    return [
        next(orders[name, axis][0] for name, axis, positions in group.places if positions == 1)
        for group in groups
    ]


def _parted(
    request: Request, name: str, living: Tensor, value: Tensor, orders: Orders, noise: float
) -> Tensor:
    """A weight with noise on the living entries that belong to second copies."""
    second = torch.zeros(value.shape, dtype=torch.bool)
    for axis in range(value.dim()):
        if (name, axis) in orders:
            order = orders[name, axis][0]
            new = torch.arange(len(order)) > order
            second |= new.view(*(-1 if each == axis else 1 for each in range(value.dim())))
    scale = noise * float(value[living].double().std(correction=0)) if living.any() else 0.0
    drawn = torch.from_numpy(request.rng.standard_normal(tuple(value.shape))).to(value.dtype)
    return torch.where(second & living, value + scale * drawn, value)
