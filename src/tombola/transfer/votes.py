"""Consensus tickets: a mask by the votes of several (Paganini & Forde 2020, "Bespoke vs. Pret-a-Porter Lottery
Tickets", section 5): over tasks of one initialisation, or over replicates whose units were aligned before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from math import ceil, prod
from operator import or_
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tombola.masks.mask import Mask
from tombola.masks.structure import lowest
from tombola.models.state import State
from tombola.stats.exact import shared, total
from tombola.transfer.route import ROUTES, Made, MaskFrom, Request

Keep = Literal["intersection", "threshold", "union", "top"]


@ROUTES.register("votes", several=True, reads_end=False, controls={"random": {"mask": "random"}})
def votes(
    request: Request,
    /,
    *,
    keep: Keep = "intersection",
    share: Annotated[float, Field(gt=0, le=1)] = 0.5,
    counts: dict[str, Annotated[int, Field(ge=0)]] | None = None,
    mask: MaskFrom = "transferred",
) -> Made:
    """A mask by the votes of several tickets of one network (Paganini & Forde 2020).

    `keep` the weights of all tickets (intersection), of at least this `share` of them (threshold), of any (union), or
    those of most votes (top): in each layer as many as its `counts` say, else as many as the first ticket has there;
    ties are drawn. A weight starts from the value of the first ticket that keeps it, which is its initial one where
    all are of one initialisation; all that is not masked is the first ticket's. The report has for each layer how many
    weights all keep, and what two keep together on average, beside what independent masks of these counts would.
    `mask` random is the control, as many weights in each layer: they need a start that has them all.

    Raises UserError for fewer than two tickets, those of other networks, counts that there are no votes for, and random
    masks over weights that no ticket has.
    """
    if len(request.tickets) < 2:
        request.refuse("it takes two tickets at least, found 1")
    request.at_home()
    masks = [ticket.mask for ticket in request.tickets]
    cast = {name: torch.stack([mask[name] for mask in masks]).sum(0) for name in masks[0]}
    if keep == "top":
        made = _top(request, cast, counts if counts is not None else masks[0].counts())
    else:
        # Of 5, 0.6 are 3: not 4, as the product in binary digits would have it.
        least = {"intersection": len(masks), "union": 1, "threshold": ceil(share * len(masks) - 1e-9)}[keep]
        made = Mask({name: number >= least for name, number in cast.items()})
    starts = [ticket.weights("start") for ticket in request.tickets]
    if mask == "random":
        made = request.shuffled(made, made)
        if not request.laid_on_own and not made <= reduce(or_, masks):
            request.refuse("a random mask has weights that no ticket has; expected start = 'own'")
    report = {
        "voters": len(masks),
        "weights": made.count(),
        "start_differs": _differing(masks, starts),
        "layers": agreement(masks),
    }
    if len(masks) == 2:
        report["p"] = _chance_of(masks)
    return Made(made, _first_that_lives(masks, starts), report)


def agreement(masks: Sequence[Mask]) -> dict[str, dict[str, float]]:
    """For each layer: its `size`, how many weights are `kept_by_all` and how many independent masks of the same counts
    would all keep on average; how many two masks keep together (`kept_by_two`) and their Jaccard similarity, each the
    mean over pairs, with its exact expectation under random placement (`_by_chance`)."""
    found = {}
    for name in masks[0]:
        size, living = masks[0].size(name), [mask[name] for mask in masks]
        counts = [mask.count(name) for mask in masks]
        both = [int((living[i] & living[j]).sum()) for i, j in combinations(range(len(masks)), 2)]
        pairs = list(combinations(counts, 2))
        found[name] = {
            "size": size,
            "kept_by_all": int(torch.stack(living).all(0).sum()),
            "kept_by_all_by_chance": size * prod(count / size for count in counts),
            "kept_by_two": float(np.mean(both)),
            "kept_by_two_by_chance": float(np.mean([a * b / size for a, b in pairs])),
            "jaccard": float(np.mean([_jaccard(s, a, b) for s, (a, b) in zip(both, pairs, strict=True)])),
            "jaccard_by_chance": float(np.mean([_expected_jaccard(size, a, b) for a, b in pairs])),
        }
    return found


def _jaccard(both: int, a: int, b: int) -> float:
    """What two sets share of what either has; 1 for two empty ones."""
    return both / (a + b - both) if a + b else 1.0


def _expected_jaccard(size: int, a: int, b: int) -> float:
    return shared(size, a, b).mean(lambda both: both / (a + b - both)) if a + b else 1.0


def _chance_of(masks: Sequence[Mask]) -> float:
    """The chance that two masks with these counts in each layer share as many weights or more."""
    one, other = masks
    chance = total([shared(one.size(name), one.count(name), other.count(name)) for name in one])
    return chance.at_least((one & other).count())


def _top(request: Request, cast: Mapping[str, Tensor], counts: Mapping[str, int]) -> Mask:
    """The weights of most votes, so many in each layer."""
    if odd := sorted(cast.keys() ^ counts.keys()):
        request.refuse(
            f"counts are given for other tensors than there are: '{odd[0]}' is in one of the two alone"
        )
    chosen = {}
    for name, number in cast.items():
        wanted, voted = counts[name], int((number > 0).sum())
        if wanted > voted:
            request.refuse(f"counts ask for {wanted} weights of '{name}', and only {voted} have a vote")
        flat = number.reshape(-1).double().numpy()
        kept = lowest(-flat, wanted, request.rng)
        chosen[name] = torch.from_numpy(kept).view(number.shape)
    return Mask(chosen)


def _first_that_lives(masks: Sequence[Mask], starts: Sequence[State]) -> State:
    """The first start, with the values of later ones at weights that the earlier lack."""
    whole: State = {name: value.clone() for name, value in starts[0].items()}
    for name in masks[0]:
        filled = masks[0][name]
        for mask, start in zip(masks[1:], starts[1:], strict=True):
            whole[name] = torch.where(mask[name] & ~filled, start[name], whole[name])
            filled |= mask[name]
    return whole


def _differing(masks: Sequence[Mask], starts: Sequence[State]) -> int:
    """How many weights start from another value in a ticket than in the first: none where all are of one
    initialisation."""
    first: dict[str, Any] = {name: starts[0][name] for name in masks[0]}
    return sum(
        int(((start[name] != first[name]) & mask[name] & masks[0][name]).sum())
        for mask, start in zip(masks[1:], starts[1:], strict=True)
        for name in first
    )
