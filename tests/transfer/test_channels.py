"""Refilling: which channels are kept whole, and how many."""

from __future__ import annotations

import pytest
import torch

from support.cases import each
from support.transfer_parts import made, net, pair, small
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.seeds import stream
from tombola.transfer.channels import channels_to_keep
from tombola.transfer.route import make

ARCH = architecture("lenet-4", (3,), 2)
START = {
    "fc1.weight": torch.tensor([[1.0, 1, 1], [5, 9, 9], [2, 2, 9], [9, 9, 9]]),
    "fc1.bias": torch.zeros(4),
    "out.weight": torch.ones(2, 4),
    "out.bias": torch.zeros(2),
}
MASK = small([[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]], [[1, 0, 0, 0], [0, 1, 0, 0]])
"""Of 12 weights 6 survive: two channels of three. By l1 the rows have 3, 5, 4, 0; by count 3, 1, 2, 0."""
DENSE = Ticket(Mask.dense(ARCH.prunable_shapes), START)
TICKET = Ticket(MASK, MASK.apply(START))


def kept(ticket: Ticket) -> list[int]:
    rows = ticket.mask["fc1.weight"]
    assert all(row.all() or not row.any() for row in rows), "channels are whole or gone"
    return rows.all(1).nonzero().view(-1).tolist()


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, [1, 2]), ({"by": "count"}, [0, 2]), ({"rate": 0.5}, [0, 1, 2]), ({"rate": 1.0}, [0, 1, 2, 3])],
)
def test_by_hand(options: dict[str, object], rows: list[int]) -> None:
    ticket = made("refill", [TICKET, DENSE], ARCH, **options)
    assert kept(ticket) == rows
    assert torch.equal(ticket.mask["out.weight"], MASK["out.weight"]), "the output stays as it is"
    assert ticket.start is not None
    assert torch.equal(ticket.start["fc1.weight"], ticket.mask.apply(START)["fc1.weight"]), (
        "the dense network's"
    )
    assert ticket.provenance["report"]["channels"] == {"fc1.weight": [len(rows), 4]}
    assert ticket.provenance["report"]["weights"] == 3 * len(rows) + 2


def test_what_training_ended_with_is_read_where_it_is_there() -> None:
    end = {**START, "fc1.weight": torch.tensor([[9.0, 1, 1], [1, 9, 9], [2, 2, 9], [9, 9, 9]])}
    assert kept(made("refill", [Ticket(MASK, TICKET.start, MASK.apply(end)), DENSE], ARCH)) == [0, 2]


def test_scores_from_elsewhere() -> None:
    scores = {"fc1.weight": torch.tensor([0.0, 0, 1, 2])}
    ticket = make("refill", [TICKET, DENSE], ARCH, {"by": "activation"}, stream(0), scores=scores)
    assert kept(ticket) == [2, 3]
    for wrong in ({}, {"fc1.weight": torch.zeros(3)}):
        with pytest.raises(
            UserError, match=r"scores of saliency are .*, expected 4 for 'fc1.weight', found (none|\(3,\))"
        ):
            make("refill", [TICKET, DENSE], ARCH, {"by": "saliency"}, stream(0), scores=wrong)


def test_ties_are_drawn_and_random_channels_are() -> None:
    even = small([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]], [[1, 0, 0, 0], [0, 1, 0, 0]])
    tied = [
        made("refill", [Ticket(even, even.apply(START)), DENSE], ARCH, seed, by="count") for seed in range(30)
    ]
    assert {tuple(kept(ticket)) for ticket in tied} == {(0, 1), (0, 2), (1, 2)}
    drawn = [made("refill", [TICKET, DENSE], ARCH, seed, mask="random") for seed in range(60)]
    assert len({tuple(kept(ticket)) for ticket in drawn}) == 6
    assert {ticket.mask.count() for ticket in drawn} == {8}


def test_reinit_needs_no_dense_network() -> None:
    ticket = made("refill", [TICKET], ARCH, weights="reinit")
    assert kept(ticket) == [1, 2]
    with pytest.raises(UserError, match="route 'refill': pruned weights come to life again"):
        made("refill", [TICKET], ARCH)


@each("survive", range(13))
def test_how_many(survive: int) -> None:
    living = torch.zeros(12, dtype=torch.bool)
    living[:survive] = True
    keep = channels_to_keep(living.view(4, 3))
    assert keep == (0 if not survive else max(1, survive // 3))
    assert channels_to_keep(living.view(4, 3), 1.0) == 4
    assert keep <= channels_to_keep(living.view(4, 3), 0.3) <= 4


def test_refilling_keeps_the_density_of_every_layer_of_a_residual_network() -> None:
    arch = net("resnet-14")
    tickets = pair(arch)
    ticket = made("refill", tickets, arch)
    for name, before in tickets[0].mask.items():
        after, channel = ticket.mask[name], before[0].numel()
        if name == "out.weight":
            assert torch.equal(after, before)
        else:
            assert all(each.all() or not each.any() for each in after)
            assert 0 <= int(before.sum()) - int(after.sum()) < channel
    counted = ticket.provenance["report"]["multiply_adds"]
    assert counted["cut"] < counted["dense"]
    assert counted["masked"] < counted["dense"]
