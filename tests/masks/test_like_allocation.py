"""Weights shared out among layers as another ticket shares its own, by hand."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import tombola
from tombola.errors import UserError
from tombola.masks.allocation import allocation_like
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule

SHAPES = {"fc": (10, 6), "conv": (4, 3, 2, 2), "out": (2, 5)}  # 60, 48 and 10 weights
RATES = dict.fromkeys(SHAPES, 0.5)


def ticket(**alive: int) -> Mask:
    """The first so many weights of each tensor."""
    bits = {}
    for name, count in alive.items():
        flat = torch.zeros(torch.Size(SHAPES[name]).numel(), dtype=torch.bool)
        flat[:count] = True
        bits[name] = flat.view(SHAPES[name])
    return Mask(bits)


def test_the_name_says_what_each_layer_keeps() -> None:
    assert allocation_like(ticket(fc=15, conv=40, out=4)) == "like:conv=40/48,fc=15/60,out=4/10"


def test_a_level_of_the_tickets_size_has_its_counts() -> None:
    """Half of 118 are 59, which is what this ticket has."""
    like = allocation_like(ticket(fc=15, conv=40, out=4))
    assert ladder(SHAPES, RATES, like, 1)[1] == {"fc": 15, "conv": 40, "out": 4}


def test_other_levels_are_in_proportion() -> None:
    """Densities 1/4, 5/6, 2/5. At 3/4 of 118 (29.5 go, rounded to 30: 88 stay) conv is full: its share 88/59 * 40
    is above 48. The other 40 go as 15 to 4: 600/19 = 31.6 and 160/19 = 8.4. At 59, the ticket's counts."""
    like = allocation_like(ticket(fc=15, conv=40, out=4))
    assert ladder(SHAPES, dict.fromkeys(SHAPES, 0.25), like, 1)[1] == {"fc": 32, "conv": 48, "out": 8}
    # Half and half again: 59, then 29 (29.5 go, rounded up): 15, 40 and 4 times 29/59 are 7.4, 19.7 and 2.0.
    assert ladder(SHAPES, RATES, like, 2)[2] == {"fc": 7, "conv": 20, "out": 2}


def test_a_tensor_of_rate_zero_stays_whole_and_the_others_share() -> None:
    """60 + 48 halved are 54, as 15 to 40: 14.7 and 39.3."""
    like = allocation_like(ticket(fc=15, conv=40, out=4))
    rungs = ladder(SHAPES, {**RATES, "out": 0.0}, like, 1)
    assert rungs[1] == {"fc": 15, "conv": 39, "out": 10}


def test_pruning_a_network_to_a_tickets_layer_counts() -> None:
    """60 + 36 weights halved are 48, which is what the ticket has: 18 and 30, the largest of each layer."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 6))
    mask = Mask({"0.weight": torch.arange(60).view(6, 10) < 18, "2.weight": torch.arange(36).view(6, 6) < 30})
    rule = PruneRule(allocation=allocation_like(mask), rate=0.5)
    pruned = tombola.prune(network, rule=rule)
    assert pruned.counts() == mask.counts()
    for name, weight in (("0.weight", network[0].weight), ("2.weight", network[2].weight)):
        assert weight[pruned[name]].abs().min() > weight[~pruned[name]].abs().max()


WRONG = [
    ("like:fc=15/60", "like allocation is to prune 'conv' as a ticket that lacks it; expected one of: fc"),
    ("like:fc=15/60,conv=0/48,out=1/10", "to prune 'conv' as a ticket that has no weights of it"),
    ("like:fc=61/60", "'fc=61/60' is no layer=alive/size"),
    ("like:fc=1/0", "'fc=1/0' is no layer=alive/size"),
    ("like:TICKET", "'TICKET' is no layer=alive/size"),
    ("like:", "'' is no layer=alive/size"),
    ("liek:fc=15/60", "unknown allocation 'liek:fc=15/60'"),
]


@pytest.mark.parametrize(("name", "words"), WRONG)
def test_what_is_no_ticket_of_this_network_is_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        ladder(SHAPES, RATES, name, 1)


def test_layers_that_only_the_ticket_has_do_not_count() -> None:
    like = allocation_like(ticket(fc=15, conv=40, out=4))
    small = {name: SHAPES[name] for name in ("fc", "out")}
    assert ladder(small, RATES, like, 1)[1] == {"fc": 28, "out": 7}  # 35 as 15 to 4: 27.6 and 7.4


def test_rates_have_to_be_equal() -> None:
    with pytest.raises(UserError, match=r"like allocation takes one rate, found 0.1 for 'out' and 0.5 for"):
        ladder(SHAPES, {**RATES, "out": 0.1}, allocation_like(ticket(fc=15, conv=40, out=4)), 1)
