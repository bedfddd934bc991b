"""Transplants, on a network that is large enough for units to be told apart: what each takes, worked out apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.lottery_parts import CLASSES, same
from support.rounding import made_once
from tombola.lottery.arms.catalog import ARMS, DOSES
from tombola.lottery.arms.context import MASK_ACTIONS, WEIGHT_ACTIONS, Rung, Scene
from tombola.lottery.arms.donors import Donor, Lent
from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.arms.shared import Tensorwise, matched, most
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.models.units import permute, unit_axes
from tombola.seeds import Seeds, stream

DONORS = 4


@made_once
def lenet() -> Architecture:
    return architecture("lenet-40-30", (25,), CLASSES)


def largest(dense: State, density: float = 0.3) -> Mask:
    """The largest weights of each layer, as magnitude pruning leaves them."""
    names = lenet().prunable
    cuts = {name: dense[name].abs().flatten().quantile(1 - density) for name in names}
    return Mask({name: dense[name].abs() > cuts[name] for name in names})


def ladder(r: int) -> Donor:
    """A ladder of its own: start, a dense network near it, and the mask of its largest weights."""
    start = lenet().initial(stream(r, "start"))
    dense = {
        n: t + 0.1 * torch.from_numpy(stream(r, n).standard_normal(tuple(t.shape))).float()
        for n, t in start.items()
    }
    return Donor(largest(dense), start, dense)


def shuffled(donor: Donor, r: int) -> tuple[Donor, list[np.ndarray]]:
    """The same ladder with its units in another order, and that order."""
    groups = unit_axes(lenet())
    orders = [stream(r, "order", i).permutation(group.size) for i, group in enumerate(groups)]
    mask, start, dense = (permute(each, groups, orders) for each in (donor.mask, donor.start, donor.dense))
    return Donor(Mask(mask), start, dense), orders


def scene(pool: list[Donor | None], twin: Donor | None = None, draw: int = 0, rates: float = 0.2) -> Scene:
    own, lent = ladder(0), Lent(pool, twin)
    return Scene(
        architecture=lenet(),
        mask=own.mask,
        rewound=own.start,
        rates=dict.fromkeys(own.mask, rates),
        seeds=Seeds.replicate(0, 0),
        level=3,
        draw=draw,
        initial=own.start,
        dense=Rung(Mask.dense(own.mask.shapes), own.start, own.dense),
        lent=lambda: lent,
    )


def strangers() -> Scene:
    """Donors that share nothing with the recipient."""
    return scene([ladder(r) for r in range(1, 1 + DONORS)], ladder(9))


def kin() -> Scene:
    """Donors that are noisy copies of the recipient's ladder, with their units in other orders."""

    def copy(r: int) -> Donor:
        own = ladder(0)
        noise = {
            n: 0.05 * torch.from_numpy(stream(r, "kin", n).standard_normal(tuple(t.shape))).float()
            for n, t in own.dense.items()
        }
        dense = {n: own.dense[n] + noise[n] for n in own.dense}
        return shuffled(Donor(largest(dense), own.start, dense), r)[0]

    return scene([copy(r) for r in range(1, 1 + DONORS)])


def mask_of(arm: str, where: Scene) -> Mask:
    return treat(ARMS[arm], where)[0]


def degrees(mask: Mask, name: str) -> tuple[list[int], list[int]]:
    return mask[name].sum(0).tolist(), mask[name].sum(1).tolist()


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


@pytest.mark.parametrize("where", [kin(), strangers()], ids=["kin", "strangers"])
def test_what_is_shared_is_moved_and_as_much_that_is_private(where: Scene) -> None:
    taken, counts = Recipient(where), {}
    moved = {arm: mask_of(arm, where) for arm in ("shared-rewired", "private-rewired", "fit-shared-rewired")}
    for name in where.mask:
        living = where.mask[name]
        votes = torch.stack([mask[name] for mask in taken.aligned_masks]).sum(0)
        counts[name] = round(int(living.sum()) / 4)
        gone = {arm: living & ~mask[name] for arm, mask in moved.items()}
        shared, private = gone["shared-rewired"], gone["private-rewired"]
        assert {int(each.sum()) for each in gone.values()} == {counts[name]}
        assert not (private & shared).any()
        least = votes[shared].min()
        assert least >= votes[living & ~shared].max()
        fit = torch.stack([mask[name] for mask in Recipient(where).fit_masks]).sum(0)
        other = gone["fit-shared-rewired"]
        assert fit[other].min() >= fit[living & ~other].max()
        for mask in moved.values():
            new = mask[name] & ~living
            assert not (new & (votes >= least)).any()
            assert int(mask[name].sum()) == int(living.sum())
    assert sum(counts.values()) > 30


def test_what_no_donor_keeps_is_not_shared_however_little_that_leaves() -> None:
    """Donors that keep one place of the ticket's each, and the same one."""
    where = strangers()
    name = where.architecture.prunable[0]
    taken = Recipient(where)
    only = torch.zeros_like(where.mask[name]).flatten()
    only[int(where.mask[name].flatten().nonzero()[3])] = True
    taken.__dict__["aligned_masks"] = [Mask({**where.mask, name: only.view_as(where.mask[name])})] * DONORS
    one = Tensorwise(where, taken, name)
    assert one.shared.tolist() == only.tolist()
    assert int(one.private.sum()) == 1


def test_moved_weights_stay_in_their_unit_while_there_is_room() -> None:
    where = kin()
    mask = mask_of("private-rewired", where)
    for name in where.mask:
        assert mask[name].sum(1).tolist() == where.mask[name].sum(1).tolist()


def test_private_weights_are_alike_in_dense_and_start_magnitude_and_degree() -> None:
    where = strangers()
    taken = Recipient(where)
    one = Tensorwise(where, taken, where.architecture.prunable[0])
    dense = where.dense.trained[one.name].abs().flatten().numpy()
    pool = one.living & ~one.shared
    apart = abs(dense[one.private].mean() - dense[one.shared].mean())
    assert apart < 0.5 * abs(dense[pool].mean() - dense[one.shared].mean()) + 0.01


def test_matching_takes_the_same_kinds_then_the_nearest() -> None:
    kinds = np.array([5, 5, 7, 9, 5, 7, 8, 1])
    these = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)  # of kinds 5, 5, 7
    among = np.array([0, 0, 0, 1, 1, 1, 1, 1], dtype=bool)
    found = matched(these, among, kinds, np.random.default_rng(0))
    # A 5 and the 7 are there; instead of the second 5 the nearest kind that is left is 8, at 3; 1 is at 4.
    assert np.flatnonzero(found).tolist() == [4, 5, 6]


def test_most_votes_win_and_ties_are_drawn() -> None:
    votes = np.array([3, 0, 2, 2, 2, 3])
    among = np.array([1, 1, 1, 1, 1, 0], dtype=bool)
    drawn = [np.flatnonzero(most(votes, among, 2, np.random.default_rng(s))).tolist() for s in range(60)]
    assert {tuple(each) for each in drawn} == {(0, 2), (0, 3), (0, 4)}


def test_a_core_is_what_most_donors_keep() -> None:
    where = kin()
    taken = Recipient(where)
    mask = mask_of("core", where)
    for name in mask:
        votes = torch.stack([each[name] for each in taken.aligned_masks]).sum(0).flatten()
        count = where.mask.count(name)
        assert mask.count(name) == count
        top = votes.sort(descending=True).values[: round(count / 2)]
        kept = votes[mask[name].flatten()].sort(descending=True).values[: round(count / 2)]
        assert torch.equal(top, kept)
    overlap = {
        arm: (mask_of(arm, where) & where.mask).count()
        for arm in ("core", "core-apart", "core-fit", "core-fit-apart")
    }
    assert overlap["core"] > 1.2 * max(overlap[arm] for arm in overlap if arm != "core")


def test_signs_are_turned_where_ticket_and_donors_agree_and_at_as_many_private_places() -> None:
    where = kin()
    taken = Recipient(where)
    shared, private = (WEIGHT_ACTIONS[f"flip-{which}"](where) for which in ("shared", "private"))
    for name in where.mask:
        own = where.rewound[name]
        signs = sum(
            m[name] * s[name].sign() for m, s in zip(taken.aligned_masks, taken.aligned_starts, strict=True)
        )
        one = Tensorwise(where, taken, name)
        places = torch.from_numpy(one.shared.reshape(own.shape)) & (signs.sign() == own.sign())
        assert torch.equal(shared[name], torch.where(places, -own, own))
        turned = private[name] != own
        assert int(turned.sum()) == int(places.sum())
        assert torch.equal(private[name].abs(), own.abs())
        assert not (turned & ~torch.from_numpy((one.living & ~one.shared).reshape(own.shape))).any()


def test_a_dose_keeps_its_share_of_each_layer_and_moves_the_rest_elsewhere() -> None:
    where = strangers()
    for percent in DOSES:
        mask = mask_of(f"dose-{percent}", where)
        for name in mask:
            count = where.mask.count(name)
            assert mask.count(name) == count
            assert int((mask[name] & where.mask[name]).sum()) == round(percent / 100 * count)


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
            arm.mask.startswith(("donor", "twin", "shared", "private", "fit-", "core"))
            or arm.weights.startswith(("donor", "flip"))
        )
        if takes:
            with pytest.raises(Exception, match="takes from donors, and there are none"):
                treat(ARMS[name], where)
    assert "twin" in ARMS["twin"].traits
    assert set(MASK_ACTIONS) >= {arm.mask for arm in ARMS.values()}
