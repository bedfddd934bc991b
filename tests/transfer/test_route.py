"""What all routes have in common: options, provenance, streams, and sentences for mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from support.cases import each
from support.registries import put_back
from support.transfer_parts import made, net, pair
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.lottery.ticket import Ticket
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import stream
from tombola.transfer.route import ROUTES, Made, Request, make, options_of

JOURNEYS = {
    "carry": ("lenet-8-8", "lenet-8-8", {"head": "new"}),
    "elastic": ("lenet-8-8", "lenet-8-8-8", {"mask": "random"}),
    "widen": ("lenet-8-8", "lenet-12-12", {"noise": 0.1}),
    "votes": (
        "lenet-8-8",
        "lenet-8-8",
        {"keep": "top", "counts": {"fc1.weight": 150, "fc2.weight": 40, "out.weight": 20}},
    ),
    "refill": ("lenet-8-8", "lenet-8-8", {"mask": "random"}),
    "regroup": ("lenet-8-8", "lenet-8-8", {"groups": 2, "rows": 2, "columns": 2, "weights": "reinit"}),
    "predicted": ("lenet-8-8", "lenet-8-8", {"labels": "shuffled"}),
}
"""A source, a target and options of which most draw something."""
ARCH: Architecture = net("lenet-8-8", (1, 5, 5))


def sources_of(kind: str) -> list[Ticket]:
    """A ticket and its dense network; of a prediction, a dense network and those of two others."""
    arch = net(JOURNEYS[kind][0], (1, 5, 5))
    return [pair(arch)[1], *pair(arch, seed=1), *pair(arch, seed=2)] if kind == "predicted" else pair(arch)


def travel(kind: str, seed: int = 0) -> tuple[list[Ticket], Ticket, Architecture]:
    source, target, options = JOURNEYS[kind]
    about = {"model": {"name": source, "options": {}, "prune": []}, "cell": "r0/L01/ticket/0"}
    tickets = sources_of(kind)
    tickets[0] = replace(tickets[0], provenance=about)
    arch = net(target, (1, 5, 5))
    return tickets, made(kind, tickets, arch, seed, **options), arch


def test_every_route_is_tried() -> None:
    assert set(JOURNEYS) == set(ROUTES)


@each("kind", JOURNEYS)
def test_what_comes_of_a_route_is_a_ticket_of_the_target(kind: str, tmp_path: Path) -> None:
    tickets, ticket, arch = travel(kind)
    assert ticket.mask.shapes == arch.prunable_shapes
    assert ticket.start is not None
    assert {name: tuple(value.shape) for name, value in ticket.start.items()} == {
        **arch.shapes,
        **arch.buffers,
    }
    assert all(
        torch.equal(value, ticket.mask.apply(ticket.start)[name]) for name, value in ticket.start.items()
    )
    ticket.save(tmp_path / f"{kind}.safetensors")
    again = Ticket.load(tmp_path / f"{kind}.safetensors")
    assert again.mask == ticket.mask
    assert again.provenance == ticket.provenance
    assert again.keys == arch.keys
    known = ticket.provenance
    assert known["route"] == kind
    assert known["options"] == {**options_of(kind), **JOURNEYS[kind][2]}
    assert known["model"]["name"] == JOURNEYS[kind][1]
    first = {"cell": "r0/L01/ticket/0", "model": "lenet-8-8"}
    assert known["sources"] == [
        {**about, "mask": digest_of(source.mask), "start": digest_of(source.start or {})}
        for about, source in zip((first, *[{}] * (len(tickets) - 1)), tickets, strict=True)
    ]


@each("kind", JOURNEYS)
def test_one_stream_makes_one_ticket_and_sources_are_left_as_they_are(kind: str) -> None:
    sources, one, _ = travel(kind)
    again, other = travel(kind)[1], travel(kind, seed=1)[1]
    assert one.start is not None
    assert again.start is not None
    assert other.start is not None
    assert one.mask == again.mask
    assert digest_of(one.start) == digest_of(again.start)
    assert one.mask != other.mask or digest_of(one.start) != digest_of(other.start)
    for source, untouched in zip(sources, sources_of(kind), strict=True):
        assert source.mask == untouched.mask
        assert digest_of(source.start or {}) == digest_of(untouched.start or {})


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("elastc", {}, "unknown route 'elastc'; did you mean 'elastic'?"),
        ("elastic", {"block": 1}, "route 'elastic' has no option 'block'; did you mean 'blocks'?"),
        (
            "votes",
            {"keep": "most"},
            "route 'votes': option 'keep' is 'most' (Input should be 'intersection', ",
        ),
        ("votes", {"share": 0}, "route 'votes': option 'share' is 0 (Input should be greater than 0)"),
        (
            "refill",
            {"rate": "0.5"},
            "route 'refill': option 'rate' is '0.5' (Input should be a valid number)",
        ),
        ("regroup", {"groups": 0}, "option 'groups' is 0 (Input should be greater than or equal to 1)"),
        (
            "elastic",
            {"snip_new": True},
            "route 'elastic': SNIP looks at examples, which there are in a study",
        ),
        ("elastic", {"permute_new": 1}, "option 'permute_new' is 1 (Input should be a valid boolean)"),
    ],
)
def test_wrong_options(kind: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        made(kind, pair(ARCH), ARCH, **options)
    assert said in str(caught.value)


def test_wrong_sources() -> None:
    ticket, dense = pair(ARCH)
    with pytest.raises(UserError, match="route 'votes': ticket 2 holds no start weights"):
        made("votes", [ticket, Ticket(ticket.mask)], ARCH)
    with pytest.raises(UserError, match="route 'refill': expected a ticket to start from, found none"):
        made("refill", [], ARCH)
    for kind in ("refill", "regroup", "votes"):
        with pytest.raises(
            UserError, match=f"route '{kind}': ticket 1 is of another network than 'lenet-8-4'"
        ):
            made(kind, [ticket, dense], net("lenet-8-4", (1, 5, 5)))


def test_a_target_without_an_initialiser_cannot_be_reinit() -> None:
    bare = architecture(ARCH.build(), (1, 5, 5), 4)
    with pytest.raises(UserError, match="route 'refill': model 'Sequential' has no initialiser"):
        made("refill", pair(ARCH), bare, weights="reinit")


def test_a_route_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    put_back(monkeypatch, ROUTES)

    @ROUTES.register("upside-down")
    def upside_down(request: Request, /, *, half: bool = False) -> Made:
        """The ticket's mask the other way round (example, 2026)."""
        mask = request.ticket.mask
        return Made(mask if half else ~mask, request.start if half else {})

    ticket = pair(ARCH)[0]
    assert make("upside-down", [ticket], ARCH, {"half": True}, stream(0)).mask == ticket.mask
    with pytest.raises(
        UserError,
        match=r"route 'upside-down': what it makes does not fit 'lenet-8-8': 'fc1\.bias' has shape none",
    ):
        make("upside-down", [ticket], ARCH, {}, stream(0))
