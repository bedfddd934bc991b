"""What a ticket shares, taken away or kept alone, and the scale of doses: worked out apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.donor_parts import DONORS, kin, mask_of, strangers
from tombola.lottery.arms.catalog import DOSES
from tombola.lottery.arms.context import WEIGHT_ACTIONS, Scene
from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.arms.shared import Tensorwise, matched, most
from tombola.masks.mask import Mask


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


def test_places_are_of_one_kind_by_fifths_of_dense_of_start_and_of_the_degrees_of_both_units() -> None:
    where = strangers()
    name = where.architecture.prunable[1]
    one = Tensorwise(where, Recipient(where), name)
    kinds, living = one._kinds(), where.mask[name]
    assert (kinds[~one.living] == -1).all()
    degrees = living.sum(1, keepdim=True) * living.sum(0)
    things = [where.dense.trained[name].abs(), where.rewound[name].abs(), degrees]
    for place, thing in enumerate(things):
        fifth = kinds[one.living] // 5 ** (2 - place) % 5
        values = thing.flatten().numpy()[one.living]
        for low in range(4):
            assert values[fifth == low].max() <= values[fifth == low + 1].min()
        if place < 2:  # no two are equal, so fifths are
            assert set(np.bincount(fifth)) <= {len(values) // 5, len(values) // 5 + 1}


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


CORES = {
    "core": "aligned_masks",
    "core-apart": "shuffled_masks",
    "core-fit": "fit_masks",
    "core-fit-apart": "fit_shuffled_masks",
}


@pytest.mark.parametrize(("arm", "masks"), CORES.items())
def test_half_of_a_core_is_what_most_donors_keep_and_half_is_drawn(arm: str, masks: str) -> None:
    where = kin()
    mask = mask_of(arm, where)
    for name in mask:
        votes = torch.stack([each[name] for each in getattr(Recipient(where), masks)]).sum(0).flatten()
        count = where.mask.count(name)
        assert mask.count(name) == count
        most = votes.sort(descending=True).values
        kept = votes[mask[name].flatten()].sort(descending=True).values
        assert torch.equal(kept[: round(count / 2)], most[: round(count / 2)])
        assert kept.sum() < most[:count].sum()


@pytest.mark.parametrize(("arm", "masks"), {"guided": "aligned_masks", "guided-fit": "fit_masks"}.items())
def test_a_guided_step_goes_by_rank_of_magnitude_and_share_of_votes(arm: str, masks: str) -> None:
    """Each weight's rank, 0 to just below 1, counted anew, plus the share of donors: nothing that went beats what
    stays, and both have a say."""
    where = kin()
    mask = mask_of(arm, where)
    by_votes, by_size = Mask.empty(mask.shapes), Mask.empty(mask.shapes)
    for name in mask:
        votes = torch.stack([each[name] for each in getattr(Recipient(where), masks)]).sum(0).flatten()
        size = where.dense.trained[name].abs().flatten()
        rank = (size[:, None] > size[None, :]).sum(1) / len(size)
        score, kept = rank + votes / DONORS, mask[name].flatten()
        assert int(kept.sum()) == where.mask.count(name)
        assert score[kept].min() >= score[~kept].max() - 1e-6
        for found, values in ((by_votes, votes), (by_size, size)):
            found[name].view(-1)[values.argsort(descending=True)[: int(kept.sum())]] = True
    assert mask != by_votes
    assert mask != by_size


def test_a_core_of_kin_is_more_of_the_ticket_than_any_control() -> None:
    where = kin()
    overlap = {arm: (mask_of(arm, where) & where.mask).count() for arm in CORES}
    assert overlap["core"] > 1.2 * max(overlap[arm] for arm in overlap if arm != "core")


@pytest.mark.parametrize("where", [kin(), strangers()], ids=["kin", "strangers"])
def test_signs_are_turned_where_ticket_and_donors_agree_and_at_as_many_private_places(where: Scene) -> None:
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


@pytest.mark.parametrize("arm", ["shared-rewired", "private-rewired", "core", "core-fit", "dose-50"])
def test_a_tensor_that_is_not_pruned_stays_whole(arm: str) -> None:
    where = strangers()
    first = where.architecture.prunable[0]
    spared = replace(where, rates={**where.rates, first: 0.0})
    assert torch.equal(mask_of(arm, spared)[first], where.mask[first])
    assert not torch.equal(mask_of(arm, where)[first], where.mask[first])
