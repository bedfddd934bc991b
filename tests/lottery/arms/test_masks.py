"""What each mask action keeps, worked out apart, and what it makes of layers that are no plain matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from support.arm_table import every_network, scene
from support.lottery_parts import CLASSES, play, sparse
from support.lottery_parts import lenet as small_lenet
from support.lottery_parts import lottery as small_lottery
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import MASK_ACTIONS, Scene
from tombola.lottery.arms.treat import treat
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.units import unit_axes
from tombola.seeds import Seeds


def columns(mask: Mask, name: str) -> list[int]:
    return mask[name].flatten(1).sum(0).tolist()


def rows(mask: Mask, name: str) -> list[int]:
    return mask[name].flatten(1).sum(1).tolist()


@every_network
def test_shuffles_are_these_permutations_of_these_streams(network: str) -> None:
    """The bits of runs that are there already depend on them."""
    where = scene(network, draw=1)
    rng = where.seeds.stream("shuffle", where.level, 1)
    shuffled = MASK_ACTIONS["shuffle"](where)
    for name in sorted(where.mask):
        places = rng.permutation(where.mask.size(name))[: where.mask.count(name)]
        assert sorted(places) == np.flatnonzero(shuffled[name]).tolist()


@every_network
def test_rewire_keeps_the_degree_of_every_unit_and_every_input(network: str) -> None:
    where = scene(network)
    mask = MASK_ACTIONS["rewire"](where)
    for name in where.mask:
        assert rows(mask, name) == rows(where.mask, name)
        assert columns(mask, name) == columns(where.mask, name)


@every_network
def test_input_map_keeps_what_leaves_each_input_and_no_other_degree(network: str) -> None:
    where = scene(network, whole=False)
    mask = MASK_ACTIONS["input-map"](where)
    first, *others = where.architecture.prunable
    assert columns(mask, first) == columns(where.mask, first)
    assert rows(mask, first) != rows(where.mask, first)
    for name in others:
        assert columns(mask, name) != columns(where.mask, name)
        assert mask.count(name) == where.mask.count(name)


def test_input_map_takes_every_choice_of_units_as_likely() -> None:
    """3 of 20 units for one input, none for the next, all for the third."""
    where = scene("lenet")
    first = torch.zeros(20, 6, dtype=torch.bool)
    first[:3, 0] = first[:, 2] = True
    where = replace(where, mask=Mask({**where.mask, "fc1.weight": first}))
    times, p = 400, 3 / 20
    found = torch.zeros(20, 6)
    for draw in range(times):
        found += MASK_ACTIONS["input-map"](replace(where, draw=draw))["fc1.weight"]
    assert found[:, 1].sum() == 0
    assert (found[:, 2] == times).all()
    assert found[:, 0].sum() == 3 * times
    assert (found[:, 0] - times * p).abs().max() < 5 * (times * p * (1 - p)) ** 0.5


class Odd(nn.Module):
    """A grouped, a depthwise and a transposed grouped convolution, for inputs [4, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, groups=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=1)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2)
        self.out = nn.Linear(6 * 64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.up(self.depthwise(self.grouped(x))).flatten(1))
        return out


def odd_scene() -> Scene:
    arch, seeds = architecture(Odd, (4, 4, 4), CLASSES), Seeds.single(0)
    state = arch.initial(seeds.stream("init"))
    return Scene(arch, sparse(arch, 0.4), state, dict.fromkeys(arch.prunable, 0.2), seeds, 1, 0, state)


def test_rewire_keeps_degrees_in_the_groups_of_a_convolution() -> None:
    """Each group reads channels of its own: those of rows 0 to 3 of `grouped` are others than those of 4 to 7."""
    where = odd_scene()
    mask = MASK_ACTIONS["rewire"](where)
    for name, half in (("grouped.weight", 4), ("up.weight", 4)):
        assert mask[name].flatten(1)[half:].shape == mask[name].flatten(1)[:half].shape
        for part in (slice(half), slice(half, None)):
            old, new = (each[name].flatten(1)[part] for each in (where.mask, mask))
            assert torch.equal(new.sum(0), old.sum(0))
            assert torch.equal(new.sum(1), old.sum(1))
            assert not torch.equal(new, old)
    assert torch.equal(mask["depthwise.weight"], where.mask["depthwise.weight"])  # no other wiring


def test_input_map_keeps_what_leaves_each_input_of_a_grouped_convolution() -> None:
    where = odd_scene()
    old, new = (
        mask["grouped.weight"].view(2, 4, -1) for mask in (where.mask, MASK_ACTIONS["input-map"](where))
    )
    assert torch.equal(new.sum(1), old.sum(1))
    assert not torch.equal(new, old)


def test_invert_is_what_the_ticket_lacks() -> None:
    where = scene("lenet")
    mask = MASK_ACTIONS["invert"](where)
    for name in ("fc1.weight", "fc2.weight"):
        assert (mask[name] ^ where.mask[name]).all()
        assert mask.count(name) == where.mask.size(name) - where.mask.count(name)
    whole = MASK_ACTIONS["invert"](replace(scene("lenet", whole=False), mask=Mask.dense(where.mask.shapes)))
    assert whole.empty_layers() == ["fc1.weight", "fc2.weight", "out.weight"]  # which is then `collapsed`


def test_partner_is_the_partners_mask_or_none_at_all() -> None:
    where = scene("lenet")
    assert MASK_ACTIONS["partner"](where) == where.partner
    alone = MASK_ACTIONS["partner"](replace(where, partner=None))
    assert alone.shapes == where.mask.shapes
    assert alone.count() == 0


def test_replicates_swap_masks_in_pairs_and_lose_them_with_the_partners_ladder() -> None:
    what = small_lottery(small_lenet(), levels=3, arms=lambda level: [("partner", 1)], treatments=ARMS)
    script, drawn = play(what, (0, 1, 2, 3), diverged=[(1, 2)])
    for level in (1, 2, 3):
        for r, partner in ((0, 1), (1, 0), (2, 3), (3, 2)):
            result = drawn[level].get(Cell(r, level, "partner", 0))
            if (r, level) == (1, 3):
                assert result is None  # its own ladder has ended
            elif (r, level) == (0, 3):
                assert result is not None
                assert (result.status, result.trained) == ("collapsed", None)
            else:
                start = script.starts[Cell(r, level, "partner", 0)]
                ticket, other = (script.starts[Cell(each, level, "ticket", 0)] for each in (r, partner))
                assert start.mask == other.mask != ticket.mask
                assert all(torch.equal(start.state[name], ticket.state[name]) for name in ticket.state)
    assert drawn[3][Cell(0, 3, "ticket", 0)].status == "ok"


def test_permute_moves_whole_units_of_mask_and_weights_alike() -> None:
    where = scene("lenet", whole=False)
    mask, state, _ = treat(ARMS["permute-units"], where)
    hidden = unit_axes(where.architecture)
    rng = where.seeds.stream("permute", where.level, where.draw)
    first, second = (rng.permutation(group.size) for group in hidden)
    assert (len(first), len(second)) == (20, 10)
    for tensors, new in ((where.mask, mask), (where.rewound, state)):
        assert torch.equal(new["fc1.weight"], tensors["fc1.weight"][first])
        assert torch.equal(new["fc2.weight"], tensors["fc2.weight"][second][:, first])
        assert torch.equal(new["out.weight"], tensors["out.weight"][:, second])
    assert torch.equal(state["fc1.bias"], where.rewound["fc1.bias"][first])
    assert torch.equal(state["out.bias"], where.rewound["out.bias"])
    alone = treat(ARMS["permute-mask"], where)
    assert alone[0] == mask
    assert all(torch.equal(alone[1][name], where.rewound[name]) for name in state)


def test_units_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(UserError, match="hidden units cannot be followed through layer 'grouped'"):
        treat(ARMS["permute-mask"], odd_scene())
