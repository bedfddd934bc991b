"""Predicted tickets: exact counts, what can be told, the control, and what is refused."""

from __future__ import annotations

import pytest
import torch

from support.transfer_parts import made, net, pair, whole
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.transfer.seeding import survival

ARCH = net("lenet-10-8", (8,))


def largest(seed: int) -> list[Ticket]:
    """The ticket of the largest third of each layer, and its dense network."""
    state = whole(ARCH, seed)
    mask = Mask({name: state[name].abs() >= state[name].abs().quantile(2 / 3) for name in ARCH.prunable})
    dense = Ticket(Mask.dense(mask.shapes), state, keys=ARCH.keys)
    return [Ticket(mask, mask.apply(state), keys=ARCH.keys), dense]


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_what_all_others_tell_is_met_at_exact_counts(model: str) -> None:
    ticket, dense = largest(0)
    others = [each for seed in (1, 2, 3) for each in largest(seed)]
    found = made("predicted", [dense, *others], ARCH, model=model)
    assert found.mask.counts() == others[0].mask.counts()
    assert found.start is not None
    assert all(
        torch.equal(value, found.start[name]) for name, value in found.mask.apply(dense.start or {}).items()
    )
    met = survival(found.mask, ticket.mask)
    assert met.lived > 0.85 * met.chosen
    control = made("predicted", [dense, *others], ARCH, model=model, labels="shuffled")
    assert control.mask.counts() == found.mask.counts()
    assert survival(control.mask, ticket.mask).lived < met.lived


def test_counts_are_those_of_the_first_ticket_of_another() -> None:
    dense = largest(0)[1]
    found = made("predicted", [dense, *pair(ARCH, 0.2, 1), *pair(ARCH, 0.7, 2)], ARCH)
    assert found.mask.counts() == pair(ARCH, 0.2, 1)[0].mask.counts()
    assert found.provenance["report"] == {"known": 2, "weights": found.mask.count()}


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (largest(0)[:1] + largest(1) + largest(2), "it takes the dense network that the mask is for"),
        ([largest(0)[1], *largest(1), largest(2)[0]], "each with its own dense network behind it"),
        ([largest(0)[1], *largest(1)], "the tickets of two other networks at least, found 1"),
        ([largest(0)[1]], "the tickets of two other networks at least, found 0"),
    ],
)
def test_refusals(sources: list[Ticket], said: str) -> None:
    with pytest.raises(UserError, match=f"route 'predicted': .*{said}"):
        made("predicted", sources, ARCH)
