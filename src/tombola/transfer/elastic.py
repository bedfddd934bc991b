"""Elastic tickets: a ticket stretched or squeezed to a deeper or shallower network of its family (Chen et al. 2021,
"The Elastic Lottery Ticket Hypothesis", section 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.models.state import State
from tombola.transfer.layout import Layout, layout_of
from tombola.transfer.route import CARRIED, ROUTES, Made, MaskFrom, Request, WeightsFrom

Scheme = Literal["appending", "interpolation"]
Explicit = list[list[list[int]]]
"""Of each stage (or of one that stands for all): of each source unit the places of its copies in the target."""
Sources = tuple[int, ...]
"""Of each unit of a target's stage: the unit of the source's stage that it is a copy of."""


@ROUTES.register(
    "elastic",
    reads_end=False,
    controls={**CARRIED, "permuted": {"permute_new": True}, "snip": {"snip_new": True}},
)
def elastic(
    request: Request,
    /,
    *,
    blocks: Scheme | Explicit = "appending",
    mask: MaskFrom = "transferred",
    weights: WeightsFrom = "transferred",
    permute_new: bool = False,
    snip_new: bool = False,
) -> Made:
    """A deeper or shallower network, blocks repeated or left out (Chen et al. 2021, "Elastic Lottery Tickets").

    Residual networks by blocks, VGGs by convolutions with their batch norm, fully connected ones by hidden layers as
    wide as their input. Mask, start weights and batch-norm state are copied whole; stem, classifier and the first unit
    of each stage one to one. `mask` and `weights` make the paper's controls; `permute_new` shuffles the masks of units
    that are second copies, within each tensor; `snip_new`, in a study, has SNIP find them instead on the replicate's
    examples (Lee et al. 2019), as many weights in each tensor.

    Raises UserError for networks without such units or that differ in more than their depth, for a map that does
    not fill the target, and for SNIP outside of a study.
    """
    start = request.start
    theirs = layout_of({name: tuple(value.shape) for name, value in start.items()}, "the source")
    ours = layout_of({**request.target.shapes, **request.target.buffers}, request.target.name)
    if len(theirs.stages) != len(ours.stages):
        request.refuse(
            f"the source has {len(theirs.stages)} stages and '{request.target.name}' has {len(ours.stages)}, expected "
            "as many"
        )
    sources = block_map(theirs.counts, ours.counts, blocks)
    origins = _origins(theirs, ours, sources)
    for name, origin in origins.items():
        found = tuple(start[origin].shape) if origin in start else "none"
        expected = {**request.target.shapes, **request.target.buffers}[name]
        if found != expected:
            request.refuse(
                f"the networks differ in more than their depth: '{name}' of '{request.target.name}' has shape "
                f"{expected}, '{origin}' of the source {found}"
            )

    def carry(state: Mapping[str, Tensor]) -> State:
        return {name: state[origin].clone() for name, origin in origins.items()}

    ticket = request.ticket.mask
    carried = Mask({name: ticket[origins[name]] for name in request.target.prunable})
    copies = {name for unit in _copies(ours, sources) for name in unit.values() if name in carried}
    whole = carry(request.values) if snip_new else {}
    if snip_new:
        carried = _found_by_snip(request, carried, copies, whole)
    made, state = request.controlled(carried, carry, mask, weights, copies if permute_new else ())
    if snip_new and weights == "transferred":
        state = whole
    report: dict[str, Any] = {
        "blocks": [list(stage) for stage in sources],
        "new_blocks": sum(len(stage) - len(set(stage)) for stage in sources),
        "dropped_blocks": sum(
            count - len(set(stage)) for count, stage in zip(theirs.counts, sources, strict=True)
        ),
        "source_weights": ticket.count(),
        "weights": made.count(),
    }
    return Made(made, state, report)


def _found_by_snip(request: Request, carried: Mask, copies: Collection[str], whole: State) -> Mask:
    """The mask with that of second copies found by SNIP, everything else being there as it is."""
    if request.scene is None or request.scene.probing is None:
        request.refuse("SNIP looks at examples, which there are in a study; leave snip_new out")
    full = Mask(
        {name: torch.ones_like(living) if name in copies else living for name, living in carried.items()}
    )
    pruner = Pruner(PruneRule(criterion="snip"), {}, request.rng, request.scene.probing())
    return pruner.to_layer_counts(full, whole, whole, carried.counts())


def block_map(
    source: Sequence[int], target: Sequence[int], blocks: Scheme | Explicit = "appending"
) -> tuple[Sources, ...]:
    """For each stage, of each unit of the target the source unit that it is a copy of.

    `source` and `target` are how many units each stage has, the first included, which goes to the first alone.
    *Appending* goes through the others again and again (0 1 2 1 2), and squeezing keeps the earliest; *interpolation*
    repeats each on the spot (0 1 1 2 2), the earlier ones once more where it does not come out even, and squeezing
    keeps every so many. Explicit maps have for each stage, or for all of them one, a list for each source unit.

    Raises UserError for a stage that has nothing to repeat, and for a map that does not give each target unit one
    source.
    """
    if isinstance(blocks, str):
        schemed = _appended if blocks == "appending" else _interpolated
        return tuple(
            schemed(stage, have, need) for stage, (have, need) in enumerate(zip(source, target, strict=True))
        )
    if len(blocks) not in (1, len(source)):
        raise UserError(
            f"blocks: found maps for {len(blocks)} stages, expected {len(source)}, or one for all"
        )
    maps = blocks if len(blocks) == len(source) else blocks * len(source)
    return tuple(
        _explicit(stage, have, need, each)
        for stage, (have, need, each) in enumerate(zip(source, target, maps, strict=True))
    )


def _appended(stage: int, have: int, need: int) -> Sources:
    _require_some(stage, have, need)
    return (0, *(1 + place % (have - 1) for place in range(need - 1)))


def _interpolated(stage: int, have: int, need: int) -> Sources:
    _require_some(stage, have, need)
    if need == 1:
        return (0,)
    if need < have:
        return (0, *(1 + place * (have - 1) // (need - 1) for place in range(need - 1)))
    each, more = divmod(need - 1, have - 1)
    return (0, *(unit for unit in range(1, have) for _ in range(each + (unit <= more))))


def _require_some(stage: int, have: int, need: int) -> None:
    if have == 1 < need:
        raise UserError(
            f"stage {stage + 1} of the source has its first unit alone, which cannot be repeated, and the target has "
            f"{need} units there"
        )


def _explicit(stage: int, have: int, need: int, given: Sequence[Sequence[int]]) -> Sources:
    where = f"blocks: stage {stage + 1}"
    if len(given) > have:
        raise UserError(f"{where}: found lists for {len(given)} source units, expected {have} at most")
    found: dict[int, int] = {}
    for unit, places in enumerate(given):
        for place in places:
            if not 0 <= place < need:
                raise UserError(f"{where}: the target has units 0 to {need - 1}, found {place}")
            if place in found:
                raise UserError(f"{where}: unit {place} of the target is given two sources")
            if (unit == 0) != (place == 0):
                raise UserError(
                    f"{where}: the first unit goes to the first and to no other, found {unit} to {place}"
                )
            found[place] = unit
    if missing := [place for place in range(need) if place not in found]:
        raise UserError(f"{where}: unit {missing[0]} of the target is given no source")
    return tuple(found[place] for place in range(need))


def _origins(theirs: Layout, ours: Layout, sources: Sequence[Sources]) -> dict[str, str]:
    """The name of each tensor of the target -> that of the source's tensor which it is a copy of; a name that the
    source does not have where there is none."""
    origins = {name: name for name in ours.rest}
    for units, sought, stage in zip(ours.stages, theirs.stages, sources, strict=True):
        for unit, source in zip(units, stage, strict=True):
            origins |= {name: sought[source].get(within, name) for within, name in unit.items()}
    return origins


def _copies(ours: Layout, sources: Sequence[Sources]) -> list[Mapping[str, str]]:
    """The target's units that are second copies of a source unit."""
    return [
        unit
        for units, stage in zip(ours.stages, sources, strict=True)
        for place, (unit, source) in enumerate(zip(units, stage, strict=True))
        if source in stage[:place]
    ]
