"""Uniform, ERK and given counts, worked out by hand."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch

from tombola.errors import UserError
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.seeds import stream

SHAPES = {"fc": (10, 6), "conv": (3, 2, 3, 3), "out": (2, 5)}  # 60, 54 and 10 weights


def ones(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.ones(shape) for name, shape in shapes.items()}


def test_uniform_is_one_density_with_the_rest_to_the_largest_remainders() -> None:
    # 124 - 37 (37.2 + 0.5) = 87 stay. Of 60, 54 and 10: 42.10, 37.89 and 7.02, so 42, 37 and 7, and one to conv.
    assert ladder(SHAPES, dict.fromkeys(SHAPES, 0.3), "uniform", 1)[1] == {"fc": 42, "conv": 38, "out": 7}


def test_uniform_leaves_tensors_of_rate_zero_dense_and_out_of_the_total() -> None:
    # 114 - 34 (34.2 + 0.5) = 80 of 60 and 54: 42.11 and 37.89.
    rates = {"fc": 0.3, "conv": 0.3, "out": 0.0}
    assert ladder(SHAPES, rates, "uniform", 1)[1] == {"fc": 42, "conv": 38, "out": 10}


def test_erk_densities_are_the_sum_of_sides_over_their_product() -> None:
    # 16/60, 11/54 and 7/10; times the sizes 16, 11 and 7, together 34. Rate 0.9: 124 - 112 (111.6 + 0.5) = 12 stay,
    # 12/34 of each: 5.65, 3.88 and 2.47; so 5, 3 and 2, and one each to conv (0.88) and fc (0.65).
    assert ladder(SHAPES, dict.fromkeys(SHAPES, 0.9), "erk", 1)[1] == {"fc": 6, "conv": 4, "out": 2}


def test_erk_stops_at_density_one_and_gives_what_is_over_to_the_others() -> None:
    # Rate 0.4: 124 - 50 (49.6 + 0.5) = 74 stay, 74/34 of 16, 11 and 7 would be 15.2 of 10 in out: it stays whole.
    # 64 for 16 and 11: 37.93 and 26.07, so 37 and 26, and one to fc.
    assert ladder(SHAPES, dict.fromkeys(SHAPES, 0.4), "erk", 1)[1] == {"fc": 38, "conv": 26, "out": 10}
    # Rate 0.05: 124 - 6 (6.2 + 0.5) = 118: out whole, 108 for 16 and 11 would be 64 of 60 in fc: whole, 48 for conv.
    assert ladder(SHAPES, dict.fromkeys(SHAPES, 0.05), "erk", 1)[1] == {"fc": 60, "conv": 48, "out": 10}


@pytest.mark.parametrize("allocation", ["uniform", "erk"])
@pytest.mark.parametrize(("rate", "levels"), [(0.03, 50), (0.2, 7), (0.5, 2)])
def test_long_ladders_are_exact_in_total_and_never_rise(allocation: str, rate: float, levels: int) -> None:
    # Remainders come and go from level to level; a tensor never gets back what it has lost.
    shapes = {f"layer{i}": (i + 1, 2 * i + 3) for i in range(8)}
    total = sum(a * b for a, b in shapes.values())
    rungs = ladder(shapes, dict.fromkeys(shapes, rate), allocation, levels)
    for rung in rungs:
        assert sum(rung.values()) == total
        total -= int(Fraction(str(rate)) * total + Fraction(1, 2))
    for above, below in itertools.pairwise(rungs):
        assert all(below[name] <= above[name] for name in shapes)


def test_differing_rates_and_missing_sides_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"erk allocation takes one rate, found 0.1 for 'conv' and 0.3 for 'fc'"
    ):
        ladder(SHAPES, {"fc": 0.3, "conv": 0.1, "out": 0.0}, "erk", 1)
    with pytest.raises(UserError, match=r"erk allocation needs the sides of 'fc', found the shape \(60,\)"):
        ladder({"fc": 60}, {"fc": 0.3}, "erk", 1)


def test_a_tensor_that_has_less_than_its_share_is_named() -> None:
    # 60 + 54 + 1 live; of the 80.5, so 81, that stay out's share is 10/124 of them, 6.5.
    mask = Mask(
        {name: torch.ones(shape) > 0 for name, shape in SHAPES.items()} | {"out": torch.eye(5)[:2] > 1}
    )
    lone = mask["out"]
    lone[0, 0] = True
    mask = Mask({**mask, "out": lone})
    rule = PruneRule(allocation="uniform")
    with pytest.raises(UserError, match="uniform allocation asks 'out' to keep 6, but only 1 live there"):
        Pruner(rule, dict.fromkeys(SHAPES, 0.3), stream(0)).by_rate(mask, ones(SHAPES), ones(SHAPES))


def test_counts_of_another_ticket_are_kept_to_the_weight() -> None:
    wanted = {"fc": 7, "conv": 54, "out": 1}
    rule = PruneRule(criterion="random", allocation="global", rate=0.9)
    dense = Mask.dense(SHAPES)
    mask = Pruner(rule, {}, stream(0)).to_layer_counts(dense, ones(SHAPES), ones(SHAPES), wanted)
    assert mask.counts() == wanted
    assert Pruner(rule, {}, stream(1)).to_layer_counts(dense, ones(SHAPES), ones(SHAPES), wanted) != mask
    with pytest.raises(UserError, match="count to keep in 'fc' is 8, expected 0 to 7"):
        Pruner(rule, {}, stream(0)).to_layer_counts(mask, ones(SHAPES), ones(SHAPES), wanted | {"fc": 8})
    with pytest.raises(UserError, match="count to keep in 'out' is none"):
        Pruner(rule, {}, stream(0)).to_layer_counts(dense, ones(SHAPES), ones(SHAPES), {"fc": 7, "conv": 54})


def test_counts_that_groups_cannot_give_are_refused() -> None:
    rule = PruneRule(structure="channels")
    states, dense = ones(SHAPES), Mask.dense(SHAPES)
    # Rows of 6, 18 and 5 weights.
    given = Pruner(rule, {}, stream(0)).to_layer_counts(
        dense, states, states, {"fc": 12, "conv": 36, "out": 5}
    )
    assert given.counts() == {"fc": 12, "conv": 36, "out": 5}
    with pytest.raises(
        UserError, match="'fc' is 13, which structure 'channels' cannot give; the nearest is 12"
    ):
        Pruner(rule, {}, stream(0)).to_layer_counts(dense, states, states, {"fc": 13, "conv": 36, "out": 5})
