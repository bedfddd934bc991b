"""What every criterion x allocation x structure must do, registered here or anywhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.files import digest_of
from tombola.masks import (
    ALLOCATIONS,
    CRITERIA,
    STRUCTURES,
    Mask,
    PruneRule,
    Weights,
    ladder,
    prune,
    prune_to,
)
from tombola.seeds import stream

SHAPES = {"conv": (3, 2, 2, 2), "fc": (4, 5), "one": (1, 1), "kept": (2, 3)}
RATE = 0.3
RATES = {"conv": RATE, "fc": RATE, "one": RATE, "kept": 0.0}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}

RULES = [
    PruneRule(criterion=criterion, allocation=allocation, structure=structure)
    for criterion, allocation, structure in itertools.product(CRITERIA, ALLOCATIONS, STRUCTURES)
]
every_rule = pytest.mark.parametrize(
    "rule", RULES, ids=lambda r: f"{r.criterion}-{r.allocation}-{r.structure}"
)


def state(seed: int) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    return {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in SHAPES.items()}


def rungs(rule: PruneRule, levels: int) -> list[dict[str, int]]:
    """Counts by pool label, here in whole numbers: (6 * alive + 10) // 20 is 0.3 of those alive, half up."""
    pools = ALLOCATIONS[rule.allocation](SIZES, RATES)
    counts = [{pool.label: sum(SIZES[name] for name in pool.members) for pool in pools}]
    for _ in range(levels):
        last = counts[-1]
        counts.append(
            {
                pool.label: last[pool.label] - ((6 * last[pool.label] + 10) // 20 if pool.rate else 0)
                for pool in pools
            }
        )
    return counts


def in_pools(mask: Mask, rule: PruneRule) -> dict[str, int]:
    pools = ALLOCATIONS[rule.allocation](SIZES, RATES)
    return {pool.label: sum(mask.count(name) for name in pool.members) for pool in pools}


@every_rule
def test_counts_are_exact_and_masks_nested_at_every_level(rule: PruneRule) -> None:
    mask, masks = Mask.dense(SHAPES), []
    for level, expected in enumerate(rungs(rule, 12)):
        assert in_pools(mask, rule) == expected
        masks.append(mask)
        mask = prune(mask, state(0), state(level + 1), RATES, rule, stream(level))
    assert all(later <= earlier for earlier, later in itertools.pairwise(masks))
    assert ladder(SIZES, RATES, rule.allocation, 12) == rungs(rule, 12)


@every_rule
def test_one_shot_reaches_the_counts_of_every_level(rule: PruneRule) -> None:
    dense = Mask.dense(SHAPES)
    for counts in rungs(rule, 8):
        shot = prune_to(dense, state(0), state(1), counts, RATES, rule, stream(0))
        assert in_pools(shot, rule) == counts


@every_rule
def test_operands_stay_bit_equal(rule: PruneRule) -> None:
    mask, initial, final, rates = Mask.dense(SHAPES), state(0), state(1), dict(RATES)
    before = (digest_of(mask), digest_of(initial), digest_of(final))
    prune(mask, initial, final, rates, rule, stream(0))
    assert (digest_of(mask), digest_of(initial), digest_of(final)) == before
    assert rates == RATES


@every_rule
def test_the_same_stream_gives_the_same_mask_whatever_the_order_of_names(rule: PruneRule) -> None:
    ties = {name: torch.ones(shape) for name, shape in SHAPES.items()}
    first = prune(Mask.dense(SHAPES), ties, ties, RATES, rule, stream(0))

    def reverse(mapping):
        return dict(reversed(list(mapping.items())))

    again = prune(Mask.dense(reverse(SHAPES)), reverse(ties), reverse(ties), reverse(RATES), rule, stream(0))
    assert first == again


@every_rule
def test_equal_scores_are_drawn_exactly_and_differ_between_streams(rule: PruneRule) -> None:
    ties = {name: torch.ones(shape) for name, shape in SHAPES.items()}
    masks = [prune(Mask.dense(SHAPES), ties, ties, RATES, rule, stream(seed)) for seed in range(5)]
    assert all(in_pools(mask, rule) == rungs(rule, 1)[1] for mask in masks)
    assert any(mask != masks[0] for mask in masks[1:])


@every_rule
def test_rate_zero_keeps_everything(rule: PruneRule) -> None:
    mask = prune(Mask.dense(SHAPES), state(0), state(1), dict.fromkeys(SHAPES, 0.0), rule, stream(0))
    assert mask == Mask.dense(SHAPES)


@every_rule
def test_one_lone_weight_dies_from_a_half_on(rule: PruneRule) -> None:
    shapes = {"one": (1, 1)}
    states = {"one": torch.ones(1, 1)}
    for rate, left in ((0.49, 1), (0.5, 0), (0.9, 0)):
        mask = prune(Mask.dense(shapes), states, states, {"one": rate}, rule, stream(0))
        assert mask.count() == left
    assert mask.empty_layers() == ["one"]
    assert prune(mask, states, states, {"one": 0.5}, rule, stream(0)) == mask, "nothing is left to remove"


@every_rule
def test_nothing_and_everything_can_be_removed(rule: PruneRule) -> None:
    dense = Mask.dense(SHAPES)
    all_of_it = rungs(rule, 0)[0]
    assert prune_to(dense, state(0), state(1), all_of_it, RATES, rule, stream(0)) == dense
    none_of_it = dict.fromkeys(all_of_it, 0)
    assert prune_to(dense, state(0), state(1), none_of_it, RATES, rule, stream(0)).count() == 0


@every_rule
def test_a_score_that_is_not_finite_is_told_unless_the_weight_is_dead(rule: PruneRule) -> None:
    initial, final = state(0), state(1)
    for broken in (math.nan, math.inf):
        initial["fc"][1, 2] = final["fc"][1, 2] = broken
        scores = CRITERIA[rule.criterion](Weights(initial["fc"], final["fc"], stream(0)))
        if scores.isfinite().all():
            pytest.skip(f"criterion '{rule.criterion}' does not look at the weights")
        with pytest.raises(UserError, match="1 of 20 scores of 'fc' are not finite"):
            prune(Mask.dense(SHAPES), initial, final, RATES, rule, stream(0))
        living = Mask({name: initial[name].isfinite() for name in SHAPES})
        assert prune(living, initial, final, RATES, rule, stream(0)) <= living


@every_rule
def test_states_that_do_not_fit_are_told(rule: PruneRule) -> None:
    dense, good = Mask.dense(SHAPES), state(0)
    lacking = {name: value for name, value in good.items() if name != "fc"}
    with pytest.raises(UserError, match="final state lacks 'fc'"):
        prune(dense, good, lacking, RATES, rule, stream(0))
    with pytest.raises(UserError, match="initial state lacks 'fc'"):
        prune(dense, lacking, good, RATES, rule, stream(0))
    with pytest.raises(UserError, match=r"final state: 'fc' has shape \(3,\), expected \(4, 5\)"):
        prune(dense, good, good | {"fc": torch.zeros(3)}, RATES, rule, stream(0))
    with pytest.raises(UserError, match="pruning rates lack 'fc'"):
        prune(dense, good, good, dict.fromkeys(lacking, 0.1), rule, stream(0))
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(UserError, match=r"pruning rate of 'fc' is .*, expected 0 to below 1"):
            prune(dense, good, good, RATES | {"fc": rate}, rule, stream(0))
    with pytest.raises(UserError, match=r"count to keep in '.*' is none, expected 0 to"):
        prune_to(dense, good, good, {}, RATES, rule, stream(0))
    with pytest.raises(UserError, match=r"count to keep in '.*' is 1000, expected 0 to"):
        prune_to(dense, good, good, dict.fromkeys(rungs(rule, 0)[0], 1000), RATES, rule, stream(0))
