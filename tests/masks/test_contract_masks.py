"""What every criterion x allocation x structure must do, registered here or anywhere, on an MLP and a conv net."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from support.mask_networks import Net
from support.mask_rules import (
    both_nets,
    every_rule,
    has_ratio,
    living,
    masks,
    once,
    rates,
)
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.masks.allocation import pools_of
from tombola.masks.criteria import CRITERIA
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import Structure, structure
from tombola.seeds import stream


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rounds where a criterion takes a hundred: what happens in them is the same."""
    for name in CRITERIA:
        facts = CRITERIA.facts(name)
        about = replace(CRITERIA._about[name], facts={**facts, "rounds": min(facts["rounds"], 3)})
        monkeypatch.setitem(CRITERIA._about, name, about)


@every_rule
@both_nets
def test_counts_are_exact_masks_nested_and_groups_whole_at_every_level(rule: PruneRule, of: Net) -> None:
    levels = masks(of, rule)
    tenths = 5 if has_ratio(rule) else 3
    for before, after in itertools.pairwise(levels):
        assert after <= before
        assert after != before
        alive = living(before, of, rule)
        lose = {
            label: 0 if label.startswith("out") and rates(of, rule)[label] == 0 else tenths for label in alive
        }
        # Rate 0.3 or 0.5, half up, in whole numbers.
        expected = {label: alive[label] - (2 * lose[label] * alive[label] + 10) // 20 for label in alive}
        assert living(after, of, rule) == expected
        for tensor in after:
            assert_groups(structure(rule.structure), after[tensor].numpy(), before[tensor].numpy())


def assert_groups(kind: Structure, after: np.ndarray, before: np.ndarray) -> None:
    """Groups die whole, or keep no more than their quota."""
    groups = kind.groups(after.shape)
    for group in range(groups.max() + 1):
        left = int(after.reshape(-1)[groups == group].sum())
        if kind.most is None:
            assert left in (0, int(before.reshape(-1)[groups == group].sum()))
        else:
            assert left == kind.most


@every_rule
@both_nets
def test_masks_and_one_shot_masks_go_down_the_ladder(rule: PruneRule, of: Net) -> None:
    levels = masks(of, rule)
    rungs = ladder(of.shapes, rates(of, rule), rule.allocation, len(levels) - 1, rule.structure)
    contests = {
        label: members
        for pool in pools_of(of.shapes, rates(of, rule), rule.allocation)
        for label, members in pool.contests.items()
    }
    for rung, mask in zip(rungs, levels, strict=True):
        shot = Pruner(rule, rates(of, rule), stream(0), of.probe).to_counts(
            of.dense, of.state(0), of.state(1), rung
        )
        for one in (mask, shot):
            assert living(one, of, rule) == living(mask, of, rule)
            for label, members in contests.items():
                if equal_groups(rule, [of.shapes[member] for member in members]):
                    assert sum(one.count(member) for member in members) == rung[label]


def equal_groups(rule: PruneRule, shapes: list[tuple[int, ...]]) -> bool:
    """Whether the weights of a contest can be known: its groups are equally large, or have a quota."""
    kind = structure(rule.structure)
    sizes = {int(size) for shape in shapes for size in np.bincount(kind.groups(shape))}
    return kind.most is not None or len(sizes) == 1


@every_rule
@both_nets
def test_weights_masks_and_rates_stay_as_they_are(rule: PruneRule, of: Net) -> None:
    mask, initial, final = of.dense, of.state(0), of.state(1)
    before = digest_of(mask), digest_of(initial), digest_of(final)
    pruned = once(of, rule, mask, initial=initial, final=final)
    assert (digest_of(mask), digest_of(initial), digest_of(final)) == before
    assert pruned.shapes == mask.shapes
    assert all(tensor.dtype == torch.bool and tensor.device.type == "cpu" for tensor in pruned.values())


@every_rule
@both_nets
def test_the_same_stream_gives_the_same_mask_whatever_the_order_of_names(rule: PruneRule, of: Net) -> None:
    ties = {key: torch.ones_like(value) for key, value in of.state(0).items()}
    first = once(of, rule, of.dense, initial=ties, final=ties)
    upside_down = dict(reversed(list(ties.items())))
    dense = Mask.dense(dict(reversed(list(of.shapes.items()))))
    assert once(of, rule, dense, initial=upside_down, final=upside_down) == first


@every_rule
@both_nets
def test_another_stream_draws_other_weights_where_scores_are_equal(rule: PruneRule, of: Net) -> None:
    if CRITERIA.facts(rule.criterion)["probe"]:
        # Equal weights do not make equal scores here; weights of zero make the product with the gradient zero.
        ties = {key: torch.zeros_like(value) for key, value in of.state(0).items()}
    else:
        ties = {key: torch.ones_like(value) for key, value in of.state(0).items()}
    drawn = [once(of, rule, of.dense, seed, initial=ties, final=ties) for seed in range(3)]
    assert all(living(mask, of, rule) == living(drawn[0], of, rule) for mask in drawn)
    assert any(mask != drawn[0] for mask in drawn[1:])


@every_rule
@both_nets
def test_nothing_and_everything_can_be_removed(rule: PruneRule, of: Net) -> None:
    def shot(counts: dict[str, int]) -> Mask:
        pruner = Pruner(rule, rates(of, rule), stream(0), of.probe)
        return pruner.to_counts(of.dense, of.state(0), of.state(1), counts)

    whole = ladder(of.shapes, rates(of, rule), rule.allocation, 0, rule.structure)[0]
    assert shot(whole) == of.dense
    still = Pruner(rule, dict.fromkeys(of.shapes, 0.0), stream(0), of.probe).by_rate(
        of.dense, of.state(0), of.state(1)
    )
    assert still == of.dense
    none = dict.fromkeys(whole, 0)
    if has_ratio(rule):
        with pytest.raises(
            UserError,
            match=r"structure '2:4' leaves \d+ of the \d+ weights of '.*', but the allocation keeps 0",
        ):
            shot(none)
    else:
        assert shot(none).count() == 0
