"""For every arm: what it changes, and what it keeps bit-equal. An arm without a row here fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from arm_table import KEEPS, NETWORKS, every_arm, every_network, scene, treated
from lottery_parts import same

from tombola.files import digest_of
from tombola.lottery import ARMS, TICKET
from tombola.masks import Mask


def test_every_registered_arm_has_its_row() -> None:
    assert set(KEEPS) == set(ARMS)


@every_network
@every_arm
def test_what_an_arm_keeps_and_what_it_changes(arm: str, network: str) -> None:
    where, keeps = scene(network), KEEPS[arm]
    start = treated(arm, where)
    assert (start.mask == where.mask) == keeps.mask
    assert (start.mask.counts() == where.mask.counts()) == keeps.layer_counts
    assert (start.mask.count() == where.mask.count()) == keeps.total
    assert same(start.state, where.rewound) == keeps.weights
    signs = [{n: s[n].sign() for n in where.mask} for s in (start.state, where.rewound)]
    assert same(*signs) == keeps.signs
    assert start.state.keys() == where.rewound.keys()
    for name, tensor in start.state.items():
        assert (tensor.shape, tensor.dtype) == (where.rewound[name].shape, where.rewound[name].dtype)


@every_network
@every_arm
def test_what_changes_changes_in_every_pruned_tensor(arm: str, network: str) -> None:
    """A control that shuffles one layer and forgets the others is none."""
    where, keeps = scene(network), KEEPS[arm]
    start = treated(arm, where)
    for name in where.mask:
        pruned = where.rates[name] > 0
        assert torch.equal(start.mask[name], where.mask[name]) == (keeps.mask or not pruned), name
        if not keeps.weights:
            living = where.mask[name]
            assert not (start.state[name][living] == where.rewound[name][living]).any(), name


@every_network
@every_arm
def test_tensors_of_rate_zero_stay_whole(arm: str, network: str) -> None:
    kept = NETWORKS[network][1]
    start = treated(arm, scene(network))
    assert start.mask.density(kept) == 1.0


@every_arm
def test_an_arm_leaves_the_scene_as_it_is(arm: str) -> None:
    where = scene("net")
    before = digest_of(where.rewound), digest_of(where.mask.pack()), dict(where.rates)
    start = treated(arm, where)
    for tensor in start.masked_state().values():
        tensor.add_(1)
    assert (digest_of(where.rewound), digest_of(where.mask.pack()), dict(where.rates)) == before


@every_arm
def test_dead_weights_are_zero_and_nothing_else_is_masked(arm: str) -> None:
    where = scene("net")
    start = treated(arm, where)
    assert start.dead == {}
    for name, tensor in start.masked_state().items():
        if name in start.mask:
            assert not tensor[~start.mask[name]].any()
            assert torch.equal(tensor[start.mask[name]], start.state[name][start.mask[name]])
        else:
            assert torch.equal(tensor, start.state[name])


@every_arm
def test_the_same_scene_gives_the_same_bits(arm: str) -> None:
    first, again = treated(arm, scene("net")), treated(arm, scene("net"))
    assert first.mask == again.mask
    assert same(first.state, again.state)


@every_network
@pytest.mark.parametrize("other", [{"draw": 1}, {"draw": 2}, {"level": 4}, {"r": 1}], ids=str)
@pytest.mark.parametrize("arm", sorted(set(ARMS) - {TICKET}))
def test_draws_levels_and_replicates_differ(arm: str, other: dict[str, int], network: str) -> None:
    here, there = treated(arm, scene(network)), treated(arm, scene(network, **other))
    keeps = KEEPS[arm]
    if not keeps.mask:
        assert here.mask != there.mask
    if not keeps.weights:
        assert not any(torch.equal(here.state[name], there.state[name]) for name in here.mask)


def test_shuffles_of_two_arms_are_not_the_same_draw() -> None:
    where = scene(whole=False)
    one = {name: where.mask[name] for name in list(where.mask)[:1]}
    alone = replace(where, mask=Mask(one))
    assert ARMS["random-mask"].treat(alone)[0] != ARMS["random-mask-global"].treat(alone)[0]
