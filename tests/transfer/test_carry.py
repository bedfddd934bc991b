"""Carrying a ticket as it is: what is copied, what a new head has, and what does not fit."""

from __future__ import annotations

import pytest
import torch

from support.transfer_parts import made, net, pair
from tombola.errors import UserError
from tombola.models.architecture import architecture

ARCH = net("lenet-8-8", (1, 5, 5))


def test_the_ticket_is_as_it_was() -> None:
    ticket, dense = pair(ARCH)
    found = made("carry", [ticket, dense], ARCH)
    assert found.mask == ticket.mask
    assert all(
        torch.equal(value, found.weights("start")[name]) for name, value in ticket.weights("start").items()
    )


def test_a_new_head_is_as_dense_and_drawn_afresh_for_any_number_of_classes() -> None:
    """4 classes there and 9 here: 8 units lead to each."""
    ticket, dense = pair(ARCH)
    more = architecture("lenet-8-8", (1, 5, 5), 9)
    found = made("carry", [ticket, dense], more, head="new")
    start = found.weights("start")
    for name in ("fc1.weight", "fc2.weight"):
        assert torch.equal(found.mask[name], ticket.mask[name])
        assert torch.equal(start[name], ticket.weights("start")[name])
    assert found.mask["out.weight"].shape == (9, 8)
    assert found.mask.count("out.weight") == round(72 * ticket.mask.count("out.weight") / 32)
    assert start["out.bias"].shape == (9,)
    assert not torch.equal(start["out.weight"][:4], ticket.weights("start")["out.weight"])
    with pytest.raises(UserError, match=r"'out\.(weight|bias)' has shape .*, or head = 'new'"):
        made("carry", [ticket, dense], more)


def test_another_network_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"route 'carry': ticket 1 is of another network than 'lenet-8-4': 'fc2\."
    ):
        made("carry", pair(ARCH), net("lenet-8-4", (1, 5, 5)), head="new")
