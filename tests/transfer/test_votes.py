"""Consensus tickets: votes counted by hand, starts, and what chance gives."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch

from support.transfer_parts import made, net, pair, random_mask, small
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.transfer.votes import agreement

ARCH = architecture("lenet-3", (2,), 2)
STATE = {
    "fc1.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    "fc1.bias": torch.zeros(3),
    "out.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    "out.bias": torch.zeros(2),
}
MASKS = [
    small([[1, 1], [1, 0], [0, 0]], [[1, 1, 1], [0, 0, 0]]),
    small([[1, 1], [0, 0], [1, 0]], [[1, 1, 0], [1, 0, 0]]),
    small([[1, 0], [1, 0], [1, 0]], [[1, 0, 0], [1, 1, 0]]),
]
# Votes: fc1 [[3, 2], [2, 0], [2, 0]], out [[3, 2, 1], [2, 1, 0]].


def tickets(masks: list[Mask] = MASKS, times: tuple[float, ...] = (1, 1, 1)) -> list[Ticket]:
    return [
        Ticket(mask, mask.apply({name: factor * value for name, value in STATE.items()}), keys=ARCH.keys)
        for mask, factor in zip(masks, times, strict=False)
    ]


def counts(fc1: int, out: int) -> dict[str, int]:
    return {"fc1.weight": fc1, "out.weight": out}


@pytest.mark.parametrize(
    ("options", "fc1", "out"),
    [
        ({}, [[1, 0], [0, 0], [0, 0]], [[1, 0, 0], [0, 0, 0]]),
        ({"keep": "threshold", "share": 0.5}, [[1, 1], [1, 0], [1, 0]], [[1, 1, 0], [1, 0, 0]]),
        ({"keep": "threshold", "share": 2 / 3}, [[1, 1], [1, 0], [1, 0]], [[1, 1, 0], [1, 0, 0]]),
        ({"keep": "threshold", "share": 0.7}, [[1, 0], [0, 0], [0, 0]], [[1, 0, 0], [0, 0, 0]]),
        ({"keep": "threshold", "share": 0.1}, [[1, 1], [1, 0], [1, 0]], [[1, 1, 1], [1, 1, 0]]),
        ({"keep": "union"}, [[1, 1], [1, 0], [1, 0]], [[1, 1, 1], [1, 1, 0]]),
        ({"keep": "top", "counts": counts(4, 3)}, [[1, 1], [1, 0], [1, 0]], [[1, 1, 0], [1, 0, 0]]),
        ({"keep": "top", "counts": counts(1, 0)}, [[1, 0], [0, 0], [0, 0]], [[0, 0, 0], [0, 0, 0]]),
    ],
)  # fmt: skip
def test_by_hand(options: dict[str, object], fc1: list[list[int]], out: list[list[int]]) -> None:
    ticket = made("votes", tickets(), ARCH, **options)
    assert ticket.mask == small(fc1, out)
    assert ticket.start is not None
    assert all(torch.equal(ticket.start[name], ticket.mask.apply(STATE)[name]) for name in STATE)
    assert ticket.provenance["report"]["start_differs"] == 0


def test_top_goes_by_votes_and_draws_ties() -> None:
    """As many as the first ticket has: three of fc1, one for certain and two of the three that have two votes."""
    drawn = [made("votes", tickets(), ARCH, seed, keep="top").mask for seed in range(20)]
    assert {mask.counts()["fc1.weight"] for mask in drawn} == {3}
    assert all(mask["fc1.weight"][0, 0] for mask in drawn)
    assert len({tuple(mask["fc1.weight"].view(-1).tolist()) for mask in drawn}) == 3
    assert not any(mask["fc1.weight"][1:, 1].any() for mask in drawn), "no votes, never kept"


def test_a_weight_starts_as_in_the_first_ticket_that_keeps_it() -> None:
    ticket = made("votes", tickets(times=(1, 10, 100)), ARCH, keep="union")
    assert ticket.start is not None
    assert ticket.start["fc1.weight"].tolist() == [[1, 2], [3, 0], [50, 0]]
    assert ticket.start["out.weight"].tolist() == [[1, 2, 3], [40, 500, 0]]
    # Kept by the first and the second: 2 of fc1 and 2 of out; by the first and the third: 2 and 1.
    assert ticket.provenance["report"]["start_differs"] == 7


def test_agreement_by_hand() -> None:
    found = agreement(MASKS)
    # Of 6 weights each keeps 3: by chance all keep 6 (1/2)^3 of them, and two keep 6 (1/2)^2.
    assert found["fc1.weight"]["kept_by_all"] == 1
    assert found["fc1.weight"]["kept_by_all_by_chance"] == pytest.approx(0.75)
    assert found["fc1.weight"]["kept_by_two"] == pytest.approx(2)  # 2, 2 and 2
    assert found["fc1.weight"]["kept_by_two_by_chance"] == pytest.approx(1.5)
    assert found["fc1.weight"]["jaccard"] == pytest.approx(0.5)
    # Of 20 placements 1, 9, 9, 1 share 0, 1, 2, 3 weights: 0, 1/5, 2/4 and 1 on average.
    assert found["fc1.weight"]["jaccard_by_chance"] == pytest.approx((9 / 5 + 9 / 2 + 1) / 20)


def test_the_chance_of_two_is_that_of_all_placements() -> None:
    one, other, _ = MASKS
    report = made("votes", tickets()[:2], ARCH).provenance["report"]
    shared = {0: 1, 1: 9, 2: 9, 3: 1}  # of the 20 placements of three in six
    as_many = sum(
        a * b for (i, a), (j, b) in product(shared.items(), shared.items()) if i + j >= (one & other).count()
    )
    assert report["p"] == pytest.approx(as_many / 400)


def test_empty_and_whole_layers_are_no_trouble() -> None:
    whole, none = Mask.dense(ARCH.prunable_shapes), Mask.empty(ARCH.prunable_shapes)
    assert agreement([none, none])["fc1.weight"]["jaccard"] == 1
    assert agreement([whole, none])["fc1.weight"]["jaccard_by_chance"] == 0
    assert made("votes", tickets([whole, none]), ARCH).mask == none


def test_order_and_nesting_of_what_is_kept() -> None:
    arch = net("lenet-6-4")
    state = pair(arch)[1].start
    assert state is not None
    five = [Ticket(mask, mask.apply(state)) for mask in (random_mask(arch, 0.5, seed) for seed in range(5))]
    kept = [made("votes", five, arch, keep="threshold", share=share / 5).mask for share in range(1, 6)]
    assert kept[0] == made("votes", five, arch, keep="union").mask
    assert kept[-1] == made("votes", five, arch).mask
    assert all(more <= fewer for fewer, more in pairwise(kept))
    assert kept == [
        made("votes", five[::-1], arch, keep="threshold", share=share / 5).mask for share in range(1, 6)
    ]
    for name in arch.prunable:
        votes = sum(ticket.mask[name].int() for ticket in five)
        assert all(torch.equal(mask[name], votes >= place) for place, mask in enumerate(kept, start=1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: made("votes", tickets()[:1], ARCH), "it takes two tickets at least, found 1"),
        (
            lambda: made("votes", tickets(), net("lenet-3")),
            r"ticket 1 is of another network than 'lenet-3': 'fc1.weight' has shape \(3, 2\) there, expected",
        ),
        (
            lambda: made("votes", tickets(), ARCH, keep="top", counts={"fc1.weight": 5, "out.weight": 1}),
            "counts ask for 5 weights of 'fc1.weight', and only 4 have a vote",
        ),
        (
            lambda: made("votes", tickets(), ARCH, keep="top", counts={"fc1.weight": 1}),
            "'out.weight' is in one of the two alone",
        ),
    ],
)  # fmt: skip
def test_mistakes(change: object, said: str) -> None:
    with pytest.raises(UserError, match=f"route 'votes': .*{said}"):
        change()  # type: ignore[operator]
