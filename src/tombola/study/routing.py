"""What makes the tickets of a study's routes: which tickets each takes, in which order of units, and from which stream.

The tickets of sources are read by whoever runs the study; to see beforehand whether a route can be gone, `try_routes`
goes it once with made-up tickets of the right shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from tombola.errors import UserError
from tombola.lottery.arms.context import Rung, Scene
from tombola.lottery.arms.donors import Donor, LadderEndedError, Lent
from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.cell import Cell
from tombola.lottery.lottery import Lottery, Route
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing, prober
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import Seeds, stream
from tombola.study.routes import DONORS, OWN, RouteArm
from tombola.transfer.route import make

Read = Callable[[str, int, int], Sequence[Ticket]]
"""Source, replicate and level -> that ticket, and the dense network that it was drawn from. Raises LadderEndedError."""
TOLD = ("route", "options", "sources", "report")
"""What a cell's record says of how its ticket was made."""


def routes_of(arms: Sequence[RouteArm], read: Read) -> dict[str, Route]:
    """What makes the ticket of each of these arms."""
    return {arm.name: partial(_made, arm, read) for arm in arms}


def _made(
    arm: RouteArm, read: Read, cell: Cell, scene: Scene
) -> tuple[Mask, State, Mapping[str, Any] | None]:
    """The ticket of a cell of a route's arm; an empty mask where a ladder that it takes from has ended."""
    try:
        groups = [_tickets(arm, source, read, cell, scene) for source in arm.sources]
        tickets = [ticket for group in groups for ticket in group]
    except LadderEndedError:
        return Mask.empty(scene.mask.shapes), scene.rewound, None
    rng = scene.seeds.stream("route", arm.name, scene.level, scene.draw)
    own = scene.rewound if arm.start == "own" else None
    made = make(arm.kind, tickets, scene.architecture, arm.options, rng, own=own, scene=scene)
    told = {key: made.provenance[key] for key in TOLD if key in made.provenance}
    return made.mask, made.weights("start"), {**told, "from": list(arm.sources), "start": arm.start}


def _tickets(arm: RouteArm, source: str, read: Read, cell: Cell, scene: Scene) -> Sequence[Ticket]:
    """What an arm takes from a source: a ticket and its dense network, or only tickets where it takes several."""
    if source == DONORS:
        return list(_donors(arm, scene))
    if source == OWN:
        about = {"cell": str(Cell(cell.replicate, cell.level, "ticket", 0))}
        found: Sequence[Ticket] = _with_dense(scene.mask, scene.rewound, scene.trained, about)
    else:
        found = read(source, cell.replicate, cell.level)
    return found[:1] if arm.several else found


def _donors(arm: RouteArm, scene: Scene) -> Iterator[Ticket]:
    """The tickets of all donors, or the replicate's own donor and its dense network; hidden units in the replicate's
    order unless the arm takes them as they come."""
    taken = Recipient(scene)
    for place in taken.places if arm.several else (0,):
        donor = taken.donor(place)
        mask, start, dense = donor.mask, donor.start, donor.dense
        if arm.aligned:
            mask = Mask(taken.aligned(mask, place))
            start, dense = (taken.aligned(state, place) for state in (start, dense))
        ticket, whole = _with_dense(mask, start, dense, {"donor": place})
        yield ticket
        if not arm.several:
            yield whole


def _with_dense(
    mask: Mask, start: State, trained: State | None, about: Mapping[str, Any]
) -> tuple[Ticket, Ticket]:
    """A ticket of a whole start state, with where its weights were trained to, and the dense network beside it."""
    end = None if trained is None else mask.apply(trained)
    return Ticket(mask, mask.apply(start), end, about), Ticket(Mask.dense(mask.shapes), start, trained, about)


def try_routes(
    arms: Sequence[RouteArm],
    lottery: Lottery,
    densities: Sequence[float],
    sources: Mapping[str, Architecture],
) -> None:
    """Go every route once, with random tickets of the study's and the sources' networks, at the sparsest of its levels.

    Raises UserError, naming the arm, where a route cannot be gone: networks that do not fit, options that it does not
    have, tickets that it lacks; and where several draws of an arm would all be the same.
    """
    for arm in arms:
        level = min(max(arm.levels or (lottery.levels,)), lottery.levels)
        trial = Trial(lottery, level, densities[level], sources)
        route = routes_of([arm], trial.read)[arm.name]
        cells = [Cell(0, level, arm.name, draw) for draw in range(min(arm.draws, 2))]
        try:
            one, *other = [route(cell, trial.scene(cell.draw)) for cell in cells]
        except UserError as problem:
            raise UserError(f"arm '{arm.name}': {problem}") from None
        if other and _same(one, other[0]):
            raise UserError(
                f"arm '{arm.name}' draws nothing at random, so draws = {arm.draws} would train the same network again "
                "and again; leave draws out"
            )


@dataclass(frozen=True)
class Trial:
    """A replicate, a donor and sources that are made up: initial weights, and masks at random places."""

    lottery: Lottery
    level: int
    density: float
    sources: Mapping[str, Architecture]

    def read(self, source: str, replicate: int, level: int) -> Sequence[Ticket]:
        """A ticket of a source (`Read`)."""
        return self._ticket(self.sources[source], "source")

    def scene(self, draw: int) -> Scene:
        """What a route may look at in a study."""
        own, dense = self._ticket(self.lottery.architecture, "own")
        other, whole = self._ticket(self.lottery.architecture, "donor")
        start = dense.weights("start")
        donor = Donor(other.mask, whole.weights("start"), whole.weights("start"))
        return Scene(
            architecture=self.lottery.architecture,
            mask=own.mask,
            rewound=start,
            rates=self.lottery.rates,
            seeds=Seeds.single(0),
            level=self.level,
            draw=draw,
            initial=start,
            trained=start,
            dense=Rung(dense.mask, start, start),
            rule=self.lottery.rule,
            probing=lambda: _made_up_examples(self.lottery.architecture),
            lent=lambda: Lent([donor, donor]),
        )

    def _ticket(self, architecture: Architecture, called: str) -> tuple[Ticket, Ticket]:
        start = architecture.initial(stream("try", called))
        dense = Mask.dense(architecture.prunable_shapes)
        mask = _random(dense, self.density, stream("try", called, "mask"))
        return _with_dense(mask, start, start, {})


def _made_up_examples(architecture: Architecture) -> Probing:
    """Probes on two examples of each class, noise where inputs are numbers."""
    blank = architecture.blank(2 * architecture.classes)
    if blank.is_floating_point():
        noise = stream("try", "examples").standard_normal(tuple(blank.shape))
        blank = torch.from_numpy(noise).to(blank.dtype)
    return prober(architecture, blank, torch.arange(len(blank)) % architecture.classes)


def _random(dense: Mask, density: float, rng: np.random.Generator) -> Mask:
    """A mask of about this density, with a weight in each tensor at least."""
    found = {}
    for name, shape in dense.shapes.items():
        size = dense.size(name)
        flat = torch.zeros(size, dtype=torch.bool)
        flat[torch.from_numpy(rng.permutation(size)[: max(1, round(density * size))])] = True
        found[name] = flat.view(shape)
    return Mask(found)


def _same(one: tuple[Mask, State, Any], other: tuple[Mask, State, Any]) -> bool:
    return one[0] == other[0] and all(torch.equal(one[1][name], other[1][name]) for name in one[1])
