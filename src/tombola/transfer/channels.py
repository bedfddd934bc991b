"""Tickets of whole channels: refilling (Chen et al. 2022, "Coarsening the Granularity", section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from tombola.masks.mask import Mask
from tombola.masks.structure import lowest
from tombola.models.state import State
from tombola.transfer.cut_out import operations_if_cut
from tombola.transfer.route import CARRIED, ROUTES, Made, MaskFrom, Request, WeightsFrom

Score = Literal["l1", "count", "activation", "saliency"]
WHOLE = ("conv", "shortcut", "linear")
"""Roles of the layers whose output units are channels that may go: not those of the output."""


@ROUTES.register("refill", controls=CARRIED)
def refill(
    request: Request,
    /,
    *,
    by: Score = "l1",
    rate: Annotated[float, Field(ge=0, le=1)] = 0.0,
    mask: MaskFrom = "transferred",
    weights: WeightsFrom = "transferred",
) -> Made:
    """Whole output channels, as many as keep the density of each layer (Chen et al. 2022, refilling).

    Of each layer but the output, [channels, inputs, ...], the best k channels are kept whole, where k is how many
    weights survive over the weights of a channel, rounded down as in the authors' code, but 1 at least where any
    survive; all others die. `rate` above 0 is refilling+, with that share of the other channels besides. Channels are
    ranked `by` the l1 norm of their living weights (where training ended if the ticket has that, else at the start),
    the count of these, or the scores of activation or saliency that `make` was given; ties are drawn. The weights that
    come to life have the values of the dense network, the second ticket. Controls are `mask` random, that is random
    channels, and `weights` reinit.

    Raises UserError for tickets of other networks, scores that were not given, and where a dense network is needed.
    """
    ticket = request.ticket
    request.at_home()
    scores = channel_scores(request, by)
    roles = request.target.roles
    kept: dict[str, list[int]] = {}
    made: dict[str, Tensor] = {}
    for name, living in ticket.mask.items():
        made[name] = living
        if roles[name] in WHOLE:
            wanted = channels_to_keep(living, rate)
            ranks = -scores[name].double().numpy()
            if mask == "random":
                ranks = 0 * ranks  # all are ties, and these are drawn
            chosen = torch.from_numpy(lowest(ranks, wanted, request.rng))
            made[name] = chosen.view(-1, *(1,) * (living.dim() - 1)).expand_as(living)
            kept[name] = [wanted, len(living)]
    refilled = Mask(made)
    start = request.reinit() if weights == "reinit" else request.start_under(refilled)
    report: dict[str, Any] = {
        "channels": kept,
        "source_weights": ticket.mask.count(),
        "weights": refilled.count(),
        "multiply_adds": operations_if_cut(request.target, refilled, refilled.apply(start)),
    }
    return Made(refilled, start, report)


def channels_to_keep(living: Tensor, rate: float = 0.0) -> int:
    """How many of the channels of a mask [channels, ...] refilling keeps, and refilling+ at a rate above 0."""
    channels, survive = len(living), int(living.sum())
    keep = min(max(survive * channels // living.numel(), 1), channels) if survive else 0
    return keep + floor(rate * (channels - keep) + 1e-9)


def channel_scores(request: Request, by: Score) -> Mapping[str, Tensor]:
    """The score of each output channel of each masked tensor, [channels].

    Raises UserError for scores that come from elsewhere and are not there, or are of another length.
    """
    ticket = request.ticket
    if by in ("l1", "count"):
        state: State = ticket.weights("end" if ticket.end is not None else "start")
        read = ticket.mask if by == "count" else {name: state[name].abs() for name in ticket.mask}
        return {name: read[name].double().reshape(len(read[name]), -1).sum(1) for name in ticket.mask}
    for name, living in ticket.mask.items():
        found = tuple(request.scores[name].shape) if name in request.scores else "none"
        if found != (len(living),) and request.target.roles[name] in WHOLE:
            request.refuse(
                f"scores of {by} are measured elsewhere and handed to `make`, expected {len(living)} for '{name}', "
                f"found {found}"
            )
    return {name: request.scores.get(name, torch.zeros(len(living))) for name, living in ticket.mask.items()}
