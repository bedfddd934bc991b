"""Predicted tickets: the weights that models, fitted on the tickets of other replicates, take for the likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.models.state import State
from tombola.transfer.features import Columns, Young, earlier, joined, saliency, seen
from tombola.transfer.prediction import shuffled
from tombola.transfer.predictor import Kind, fit, predicted_mask
from tombola.transfer.route import ROUTES, Made, Request
from tombola.transfer.seeding import survival

Labels = Literal["tickets", "shuffled"]


@dataclass(frozen=True)
class Given:
    """What a ticket is predicted from: the network's start, the tickets of others with theirs, and a mask that keeps as
    many weights in each tensor. `probing` is there where the network's data are known."""

    start: State
    known: Sequence[tuple[Mask, State]]
    like: Mask
    probing: Probing | None = None


@ROUTES.register("predicted", several=True, reads_end=False, controls={"shuffled": {"labels": "shuffled"}})
def predicted(request: Request, /, *, model: Kind = "logistic", labels: Labels = "tickets") -> Made:
    """The likeliest weights, told from what weights start from by others' tickets (after Frankle et al. 2021).

    A model a layer is fitted on the tickets of others and the whole states that they start from, and tells the mask
    from the network's own start, as many weights in each layer as a ticket has. Hidden units are not aligned: before
    training none is the counterpart of another. In a study others are the donors, the start is what tickets are rewound
    to, and the report says which share of the replicate's own ticket is met, beside chance. Elsewhere the first ticket
    is the dense network that the mask is for, and after it come tickets, each with its dense network behind it.
    `labels` shuffled is the control: a model that was fitted on tickets in random order.

    Raises UserError for fewer than two tickets of others, and for tickets that are not in pairs.
    """
    given = _of_study(request) if request.scene else _of_tickets(request)
    if len(given.known) < 2:
        request.refuse(f"it takes the tickets of two other networks at least, found {len(given.known)}")
    masks = [mask for mask, _ in given.known]
    tables = [
        _table(request, given, start, masks[:place] + masks[place + 1 :])
        for place, (_, start) in enumerate(given.known)
    ]
    own = _table(request, given, given.start, masks)
    if labels == "shuffled":
        masks = [shuffled(mask, request.rng) for mask in masks]
    chances = fit(model, list(zip(tables, masks, strict=True)), request.rng).chances(own)
    mask = predicted_mask(chances, given.like, given.like.counts(), request.rng)
    report: dict[str, object] = {"known": len(masks), "weights": mask.count()}
    if request.scene:
        met = survival(mask, request.scene.mask)
        many = max(met.chosen, 1)
        report |= {"of_the_ticket": met.lived / many, "of_the_ticket_by_chance": met.by_chance / many}
    return Made(mask, given.start, report)


def _of_study(request: Request) -> Given:
    scene = request.scene
    assert scene is not None
    taken = Recipient(scene)
    donors = [taken.donor(place) for place in taken.places]
    probing = scene.probing() if scene.probing else None
    return Given(scene.rewound, [(donor.mask, donor.start) for donor in donors], scene.mask, probing)


def _of_tickets(request: Request) -> Given:
    request.at_home()
    own, others = request.tickets[0], request.tickets[1:]
    tickets, networks = others[::2], others[1::2]
    if len(tickets) != len(networks) or not _dense(own) or not all(map(_dense, networks)):
        request.refuse(
            "it takes the dense network that the mask is for (its cell of level 0), and then tickets of others, each "
            "with its own dense network behind it"
        )
    known = [(ticket.mask, dense.weights("start")) for ticket, dense in zip(tickets, networks, strict=True)]
    return Given(own.weights("start"), known, tickets[0].mask if tickets else own.mask)


def _dense(ticket: Ticket) -> bool:
    return ticket.mask.count() == ticket.mask.size()


def _table(request: Request, given: Given, start: State, voters: Sequence[Mask]) -> dict[str, Columns]:
    """What is seen of a network that starts so, with the votes of tickets; saliency is on the examples of the network
    that the mask is for."""
    names, scores = request.target.prunable, {}
    if given.probing:
        scores = saliency(given.probing(start, Mask.dense(request.target.prunable_shapes)), start, names)
    return joined(seen(request.target, Young(start, start, scores)), earlier(request.target, voters))
