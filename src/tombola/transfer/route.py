"""Routes: ways to make a ticket from other tickets, without drawing it.

A route is one function, registered under its name: it takes a `Request` and options as keywords, and returns what it
`Made`. What comes of it is an ordinary ticket, which says in its provenance where it comes from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn, get_type_hints

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.files import digest_of
from tombola.lottery.arms.context import Scene
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.spec import ModelSpec
from tombola.models.state import State
from tombola.registry import Registry

MaskFrom = Literal["transferred", "random"]
WeightsFrom = Literal["transferred", "reinit"]
CARRIED: Mapping[str, Mapping[str, Any]] = {
    "random": {"mask": "random"},
    "reinit": {"weights": "reinit"},
    "both": {"mask": "random", "weights": "reinit"},
}
"""The controls of routes that have both options."""
SHORT = ("cell", "study", "seed", "level", "density", "route")
"""What is told of a source's own provenance, beside the names of its model and data."""


@dataclass(frozen=True)
class Made:
    """What a route makes: a mask and a whole state for the target, and what it counted on the way (JSON)."""

    mask: Mask
    start: State
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a route acts upon; to be left as it is. Every ticket holds start weights."""

    kind: str
    tickets: tuple[Ticket, ...]
    target: Architecture
    rng: np.random.Generator
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    """Scores of output channels that were measured elsewhere: weight name -> [channels]."""
    laid_on_own: bool = False
    """Whether the mask alone is wanted: the start comes from elsewhere and has every weight."""
    scene: Scene | None = None
    """In a study: the replicate that the ticket is for, its own ticket, start, dense network, streams and donors."""

    @property
    def ticket(self) -> Ticket:
        """The ticket of a route that takes one; the dense network that it was drawn from may stand behind it.

        Raises UserError for more tickets.
        """
        if len(self.tickets) > 2:
            self.refuse(
                f"it takes one ticket, and the dense network that it was drawn from, found {len(self.tickets)}"
            )
        return self.tickets[0]

    @property
    def start(self) -> State:
        """The ticket's start, in which pruned weights are zero."""
        return self.ticket.weights("start")

    @property
    def values(self) -> State:
        """The ticket's start, with the values of the weights that it has pruned: those of the dense network.

        Raises UserError where there is no dense network, or one that the ticket was not drawn from.
        """
        ticket = self.ticket
        if not any(ticket.mask.size(name) > ticket.mask.count(name) for name in ticket.mask):
            return self.start
        if len(self.tickets) < 2:
            self.refuse(
                "pruned weights come to life again, whose values are not in the ticket; give the dense network that it "
                "was drawn from (its cell of level 0) as a second ticket"
            )
        dense = self.tickets[1]
        if dense.mask.shapes != ticket.mask.shapes or dense.mask.count() < dense.mask.size():
            self.refuse("the second ticket is not the dense network of the first: it lacks weights")
        whole = dense.weights("start")
        for name, value in ticket.mask.apply(whole).items():
            if name in ticket.mask and not torch.equal(value, self.start[name]):
                self.refuse(
                    f"the ticket was not drawn from the dense network beside it: their '{name}' start apart"
                )
        return {**self.start, **{name: whole[name] for name in ticket.mask}}

    def start_under(self, mask: Mask) -> State:
        """A start for a mask of the ticket's network: with the values of the dense network where it has weights that
        the ticket lacks. Raises UserError as `values` does."""
        return self.start if mask <= self.ticket.mask else self.values

    def at_home(self) -> None:
        """Raise UserError unless every ticket is of the target's network, by the shapes of the weights that are
        pruned."""
        for place, ticket in enumerate(self.tickets, start=1):
            ours, theirs = self.target.prunable_shapes, ticket.mask.shapes
            for name in sorted(ours | theirs):
                if ours.get(name) != theirs.get(name):
                    self.refuse(
                        f"ticket {place} is of another network than '{self.target.name}': '{name}' has shape "
                        f"{theirs.get(name, 'none')} there, expected {ours.get(name, 'none')}"
                    )

    def reinit(self) -> State:
        """A state of the target drawn afresh. Raises UserError where there is nothing to draw from."""
        if not self.target.can_reinit:
            self.refuse(f"model '{self.target.name}' has no initialiser to draw weights from")
        return self.target.initial(self.rng)

    def shuffled(self, mask: Mask, names: Collection[str]) -> Mask:
        """The mask with the living weights of these tensors at random places, as many in each."""
        return Mask(
            {
                name: torch.from_numpy(self.rng.permutation(living.numpy().reshape(-1))).view(living.shape)
                if name in names
                else living
                for name, living in mask.items()
            }
        )

    def controlled(
        self,
        carried: Mask,
        carry: Callable[[State], State],
        mask: MaskFrom,
        weights: WeightsFrom,
        permuted: Collection[str] = (),
    ) -> tuple[Mask, State]:
        """What was carried over, or a control for it: a random mask of equal count in each tensor (in those that are
        `permuted` in any case), freshly drawn weights, or both (Chen et al. 2021, section 4).

        `carry` makes a state of the target from one of the source. Weights that live under another mask than the one
        carried over have the values that the dense network starts from.
        """
        made = self.shuffled(carried, carried if mask == "random" else permuted)
        if weights == "reinit":
            return made, self.reinit()
        return made, carry(self.start if made == carried else self.values)

    def refuse(self, why: str) -> NoReturn:
        """Raise a UserError that names the route."""
        raise UserError(f"route '{self.kind}': {why}")


ROUTES: Registry[Callable[..., Made]] = Registry(
    "route", "tombola.transfer", defaults={"controls": {}, "several": False, "reads_end": True}
)
"""A route's facts: its `controls`, name -> options that make them, whether it takes `several` tickets, and whether it
`reads_end`, the weights that these were trained to: else sources are trained only as far as their masks need it."""


def make(
    kind: str,
    tickets: Sequence[Ticket],
    target: Architecture,
    options: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    scores: Mapping[str, Tensor] | None = None,
    own: State | None = None,
    scene: Scene | None = None,
    about: Mapping[str, Any] | None = None,
) -> Ticket:
    """The ticket for `target` that a route makes from others, with its provenance.

    `options` are the route's keywords (see `options_of`); `rng` is what is drawn from; `scores` are
    measured scores of output channels, for routes that rank them. The mask is laid over `own`, a whole state of the
    target, where that is given; else the ticket starts from what the route makes. Raises UserError for an unknown route
    or option, an option of another type, tickets without start weights, none at all, and those that do not fit the
    target.
    """
    given = read_options(kind, options)
    if not tickets:
        raise UserError(f"route '{kind}': expected a ticket to start from, found none")
    for place, ticket in enumerate(tickets, start=1):
        if ticket.start is None:
            raise UserError(
                f"route '{kind}': ticket {place} holds no start weights, and a route carries them"
            )
    request = Request(kind, tuple(tickets), target, rng, scores or {}, own is not None, scene)
    made = ROUTES[kind](request, **given)
    if own is not None:
        made = replace(made, start=own)
    _require_fit(request, made)
    provenance = {
        "route": kind,
        "options": given,
        "sources": [_short(ticket) for ticket in tickets],
        "model": _model(tickets, target),
        "data": _same(tickets, "data"),
        "density": made.mask.density(),
        "report": dict(made.report),
        **(about or {}),
    }
    known = {key: value for key, value in provenance.items() if value is not None}
    return Ticket(made.mask, made.mask.apply(made.start), None, known, target.keys)


def options_of(kind: str) -> dict[str, Any]:
    """The options of a route, each with its default. Raises UserError for an unknown route."""
    parameters = inspect.signature(ROUTES[kind]).parameters.values()
    return {each.name: each.default for each in parameters if each.kind == each.KEYWORD_ONLY}


def read_options(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a route: those given, checked against the types of its keywords, else the defaults.

    Raises UserError for an unknown route or option, or a value of another type.
    """
    known = options_of(kind)
    types = get_type_hints(ROUTES[kind], include_extras=True)
    for name, value in given.items():
        if name not in known:
            raise UserError(
                f"route '{kind}' has no option '{name}'{nearest(name, known) if known else '; it has none'}"
            )
        try:
            TypeAdapter(types[name]).validate_python(value, strict=True)
        except ValidationError as problem:
            said = problem.errors()[0]["msg"]
            raise UserError(f"route '{kind}': option '{name}' is {value!r} ({said})") from None
    return {**known, **given}


def _require_fit(request: Request, made: Made) -> None:
    """Raise UserError unless mask and start are those of the target's network."""
    target = request.target
    whole = {**target.shapes, **target.buffers}
    found = {name: tuple(value.shape) for name, value in made.start.items()}
    for ours, theirs in ((whole, found), (target.prunable_shapes, made.mask.shapes)):
        for name in sorted(ours | theirs):
            if ours.get(name) != theirs.get(name):
                request.refuse(
                    f"what it makes does not fit '{target.name}': '{name}' has shape {theirs.get(name, 'none')}, "
                    f"expected {ours.get(name, 'none')}"
                )


def _short(ticket: Ticket) -> dict[str, Any]:
    """Which ticket a source is: digests, and where it comes from in short."""
    known = ticket.provenance
    named = {key: known[key]["name"] for key in ("model", "data") if isinstance(known.get(key), Mapping)}
    short = {key: known[key] for key in SHORT if key in known}
    return {**short, **named, "mask": digest_of(ticket.mask), "start": digest_of(ticket.start or {})}


def _model(tickets: Sequence[Ticket], target: Architecture) -> dict[str, Any]:
    """The [model] table of the target: that of the sources where they are of one and the same."""
    own = _same(tickets, "model")
    if own is not None and own["name"] == target.name:
        return dict(own)
    return ModelSpec(name=target.name).model_dump(mode="json")


def _same(tickets: Sequence[Ticket], key: str) -> Any:
    """A table in the provenance of all tickets, None where they differ or have none."""
    first = tickets[0].provenance.get(key)
    return first if all(ticket.provenance.get(key) == first for ticket in tickets) else None
