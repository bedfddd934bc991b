"""Transplants: what each arm takes from donors, worked out apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.donor_parts import degrees, kin, ladder, largest, lenet, mask_of, scene, shuffled, strangers
from support.lottery_parts import same
from tombola.alignment.network import Network
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import MASK_ACTIONS
from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.models.units import permute, unit_axes


def test_a_shuffled_copy_of_the_recipient_is_laid_back_over_it() -> None:
    copy, _ = shuffled(ladder(0), 5)
    where = scene([copy], copy)
    assert mask_of("donor", where) == copy.mask != where.mask
    assert mask_of("donor-aligned", where) == where.mask
    assert mask_of("twin", where) == where.mask
    assert mask_of("donor-shuffled", where) not in (where.mask, copy.mask)
    signs = treat(ARMS["donor-signs"], where)[1]
    assert same(signs, where.rewound)
    assert not same(treat(ARMS["donor-signs-shuffled"], where)[1], where.rewound)
    for layer, name in enumerate(where.architecture.prunable, start=1):
        mask = mask_of(f"donor-layer-{layer}", where)
        assert [torch.equal(mask[n], where.mask[n]) for n in where.architecture.prunable] == [
            n == name for n in where.architecture.prunable
        ]
    apart = mask_of("donor-layers-apart", where)
    assert not any(torch.equal(apart[n], where.mask[n]) for n in where.mask)


def test_a_transplant_is_the_donors_ticket() -> None:
    where = strangers()
    mask, state, dead = treat(ARMS["donor-transplant"], where)
    assert (mask, dead) == (ladder(1).mask, {})
    assert same(state, ladder(1).start)


def test_signs_come_from_the_donor_magnitudes_and_what_it_has_no_sign_for_from_the_recipient() -> None:
    donor = ladder(1)
    first, *others = lenet().prunable
    blank = {**donor.start, first: torch.zeros_like(donor.start[first])}
    where = scene([replace(donor, start=blank)])
    state = treat(ARMS["donor-signs"], where)[1]
    laid = Recipient(where).aligned(donor.start)
    assert torch.equal(state[first], where.rewound[first])
    for name in others:
        assert torch.equal(state[name].abs(), where.rewound[name].abs())
        assert torch.equal(state[name].sign(), laid[name].sign())


def test_rewired_masks_keep_the_degrees_of_the_mask_they_come_from() -> None:
    where = strangers()
    for arm, source in (
        ("donor-rewired", "donor"),
        ("donor-aligned-rewired", "donor-aligned"),
        ("donor-fit", "donor"),
    ):
        mask, of = mask_of(arm, where), mask_of(source, where)
        assert mask != of
        assert all(degrees(mask, name) == degrees(of, name) for name in mask)
    fit, aligned = mask_of("donor-fit", where), mask_of("donor-fit-aligned", where)
    assert all(sorted(degrees(fit, name)[1]) == sorted(degrees(aligned, name)[1]) for name in fit)
    first = where.architecture.prunable[0]
    assert mask_of("donor-input-map", where)[first].sum(0).tolist() == degrees(ladder(1).mask, first)[0]


def test_a_fit_donor_shares_nothing_but_its_aligned_mask_overlaps_more_than_chance() -> None:
    """Which is what it is for: aligning to one's own dense network gives so much by itself."""

    def overlap(arm: str) -> float:
        masks = [mask_of(arm, replace(strangers(), draw=draw)) for draw in range(8)]
        return float(np.mean([(mask & strangers().mask).count() for mask in masks]))

    assert overlap("donor-fit-aligned") > 1.1 * overlap("donor-fit")


def test_of_several_donors_each_is_aligned_by_its_own_dense_network() -> None:
    taken = Recipient(kin())
    own = ladder(0).mask
    for mask in taken.aligned_masks:
        assert (mask & own).count() > 0.8 * own.count()
    for mask in (*taken.shuffled_masks, *taken.fit_masks):
        assert (mask & own).count() < 0.6 * own.count()


def test_each_donor_and_each_draw_has_a_chance_of_its_own() -> None:
    where = scene([ladder(1), ladder(1)])  # two that are equal, so that chance alone can tell them apart
    taken = Recipient(where)
    for masks in (taken.shuffled_masks, taken.fit_masks, [taken.fit(0), taken.fit(1)]):
        assert masks[0] != masks[1]
    same_fit = replace(where.lent(), scrambled={(0, place): (ladder(1).mask,) * 2 for place in (0, 1)})
    one, other = Recipient(replace(where, lent=lambda: same_fit)).fit_shuffled_masks
    assert one != other
    for arm in ("donor-shuffled", "donor-rewired", "donor-fit", "donor-fit-aligned", "donor-layers-apart"):
        assert mask_of(arm, where) != mask_of(arm, replace(where, draw=1))
        assert mask_of(arm, where) == mask_of(arm, where)


def test_a_twin_is_shuffled_before_it_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were its units where the recipient's are, aligning it would prove nothing."""
    found = []

    def as_they_come(mine: State, theirs: State, network: Network, *_: object) -> tuple[np.ndarray, ...]:
        found.append(theirs)
        return network.identity()

    monkeypatch.setattr("tombola.lottery.arms.recipient.match_weights", as_they_come)
    twin = mask_of("twin", scene([ladder(1)], ladder(0)))
    first, _, last = twin
    assert not any(torch.equal(twin[name], ladder(0).mask[name]) for name in twin)
    assert degrees(twin, first)[0] == degrees(ladder(0).mask, first)[0]
    assert degrees(twin, last)[1] == degrees(ladder(0).mask, last)[1]
    assert largest(found[0]) == twin  # mask and dense network in one order


def test_tensors_apart_keep_their_make_and_lose_both_of_their_orders() -> None:
    where = strangers()
    own, apart = ladder(1).mask, mask_of("donor-layers-apart", where)
    first, middle, last = where.architecture.prunable
    for name in own:
        assert not torch.equal(apart[name], own[name])
        for a, b in zip(degrees(apart, name), degrees(own, name), strict=True):
            assert sorted(a) == sorted(b)
    assert degrees(apart, first)[0] == degrees(own, first)[0]  # pixels stay where they are
    assert degrees(apart, last)[1] == degrees(own, last)[1]  # and classes
    assert degrees(apart, first)[1] != degrees(own, first)[1]
    assert degrees(apart, middle)[0] != degrees(own, middle)[0]


def test_matchings_are_worked_out_once_for_all_levels() -> None:
    where = strangers()
    mask_of("donor-aligned", where)
    known = where.lent().matchings
    assert list(known) == [0]
    wrong = tuple(order[::-1].copy() for order in known[0])
    known[0] = wrong
    assert mask_of("donor-aligned", replace(where, level=4)) == Mask(
        permute(ladder(1).mask, unit_axes(lenet()), wrong)
    )


def test_where_a_donors_ladder_has_ended_the_cell_collapses_and_others_take_from_those_that_go_on() -> None:
    where = scene([None, ladder(2)], None)
    for arm in ("donor", "donor-aligned", "donor-fit", "donor-transplant", "twin"):
        assert mask_of(arm, where).count() == 0
    assert mask_of("core", where).count() == where.mask.count()
    nobody = scene([None, None], None)
    assert mask_of("core", nobody).count() == 0


def test_every_arm_that_takes_from_donors_says_so() -> None:
    for name, arm in ARMS.items():
        where = replace(strangers(), lent=None)
        takes = "donor" in arm.traits
        assert takes == (
            arm.mask.startswith(("donor", "twin", "shared", "private", "fit-", "core", "guided"))
            or arm.weights.startswith(("donor", "flip"))
        )
        if takes:
            with pytest.raises(Exception, match="takes from donors, and there are none"):
                treat(ARMS[name], where)
    assert "twin" in ARMS["twin"].traits
    assert set(MASK_ACTIONS) >= {arm.mask for arm in ARMS.values()}
