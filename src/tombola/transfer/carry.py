"""Tickets as they are: on another task, or as another way of pruning leaves them (Morcos et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Literal

import torch
from torch import Tensor

from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.transfer.route import CARRIED, ROUTES, Made, MaskFrom, Request, WeightsFrom

Head = Literal["keep", "new"]
OUTPUT = "output"
"""The role of the weights whose units are the classes."""


@ROUTES.register("carry", reads_end=False, controls={**CARRIED, "new-head": {"head": "new"}})
def carry(
    request: Request,
    /,
    *,
    head: Head = "keep",
    mask: MaskFrom = "transferred",
    weights: WeightsFrom = "transferred",
) -> Made:
    """The ticket as it is, for another task or by another pruning (after Morcos et al. 2019, "One ticket").

    Mask, start weights and batch-norm state are copied. A `new` head has the output layer drawn afresh, whatever its
    number of classes: its weights from the initialiser, its mask at random with the density that it has in the ticket,
    rounded to a whole number of weights, one at least. Controls are `mask` random and `weights` reinit.

    Raises UserError for tickets of another network, and of other classes where the head is kept.
    """
    ticket, target, start = request.ticket, request.target, request.start
    expected = {**target.shapes, **target.buffers}
    heads = {_layer(name) for name, role in target.roles.items() if role == OUTPUT}
    new = {name for name in expected if head == "new" and _layer(name) in heads}
    for name in sorted(expected.keys() - new):
        found = tuple(start[name].shape) if name in start else "none"
        if found != expected[name]:
            instead = ", or head = 'new'" if _layer(name) in heads else ""
            request.refuse(
                f"ticket 1 is of another network than '{target.name}': '{name}' has shape {found} there, expected "
                f"{expected[name]}{instead}"
            )
    fresh = request.reinit() if new else {}

    def carried(state: Mapping[str, Tensor]) -> State:
        return {name: fresh[name] if name in new else state[name].clone() for name in expected}

    living = {name: _placed(request, name) if name in new else ticket.mask[name] for name in target.prunable}
    made, begins = request.controlled(Mask(living), carried, mask, weights)
    return Made(made, begins, {"source_weights": ticket.mask.count(), "weights": made.count()})


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _placed(request: Request, name: str) -> Tensor:
    """Random places in a tensor of the target, as dense as the ticket's."""
    shape, density = request.target.shapes[name], request.ticket.mask.density(name)
    flat = torch.zeros(prod(shape), dtype=torch.bool)
    flat[torch.from_numpy(request.rng.permutation(len(flat))[: max(1, round(density * len(flat)))])] = True
    return flat.view(shape)
