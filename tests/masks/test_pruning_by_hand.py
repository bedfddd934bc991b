"""Pruning worked out by hand on a few weights, part by part and together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tombola.errors import UserError
from tombola.masks.allocation import removals
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import lowest
from tombola.seeds import stream

INITIAL = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
FINAL = {
    "a": torch.tensor([[0.9, -0.1, 0.3], [-0.8, 0.2, -0.7]]),
    "b": torch.tensor([-0.05, 0.6, -0.5, 0.04]),
}
LIVING = Mask({"a": torch.tensor([[1, 1, 1], [1, 1, 0]]) > 0, "b": torch.ones(4) > 0})


def bits(mask: Mask) -> dict[str, list[int]]:
    return {name: tensor.int().flatten().tolist() for name, tensor in mask.items()}


def test_layerwise_takes_each_tensors_smallest_survivors() -> None:
    # a: five live, 0.4 of them is 2: 0.1 and 0.2 go, whatever sits at the dead place.
    # b: four live, 0.2 of them is 0.8, so 1: 0.04 goes.
    mask = Pruner(PruneRule(), {"a": 0.4, "b": 0.2}, stream(0)).by_rate(LIVING, INITIAL, FINAL)
    assert bits(mask) == {"a": [1, 0, 1, 1, 0, 0], "b": [1, 1, 1, 0]}


def test_global_takes_the_smallest_of_all() -> None:
    # Nine live, 0.3 of them is 2.7, so 3: 0.04, 0.05 and 0.1 go.
    rule = PruneRule(allocation="global")
    mask = Pruner(rule, {"a": 0.3, "b": 0.3}, stream(0)).by_rate(LIVING, INITIAL, FINAL)
    assert bits(mask) == {"a": [1, 0, 1, 1, 1, 0], "b": [0, 1, 1, 0]}


def test_global_leaves_tensors_of_rate_zero_out_of_the_pool() -> None:
    # Five live in a, 0.4 of them is 2: b keeps its smaller weights.
    rule = PruneRule(allocation="global")
    mask = Pruner(rule, {"a": 0.4, "b": 0.0}, stream(0)).by_rate(LIVING, INITIAL, FINAL)
    assert bits(mask) == {"a": [1, 0, 1, 1, 0, 0], "b": [1, 1, 1, 1]}


def test_global_may_empty_a_layer_and_the_mask_says_so() -> None:
    rule = PruneRule(allocation="global")
    final = {"a": FINAL["a"] + 10 * FINAL["a"].sign(), "b": FINAL["b"]}
    # Nine live, 0.45 of them is 4.05, so 4: all of b.
    mask = Pruner(rule, {"a": 0.45, "b": 0.45}, stream(0)).by_rate(LIVING, INITIAL, final)
    assert mask.empty_layers() == ["b"]
    assert mask.count("a") == 5


def test_global_refuses_rates_that_differ() -> None:
    rule = PruneRule(allocation="global")
    with pytest.raises(UserError, match=r"takes one rate, found 0.1 for 'b' and 0.2 for 'a'"):
        Pruner(rule, {"a": 0.2, "b": 0.1}, stream(0)).by_rate(LIVING, INITIAL, FINAL)


def test_one_shot_keeps_the_counts_it_is_given() -> None:
    mask = Pruner(PruneRule(), {"a": 0.2, "b": 0.2}, stream(0)).to_counts(
        LIVING, INITIAL, FINAL, {"a": 1, "b": 2}
    )
    assert bits(mask) == {"a": [1, 0, 0, 0, 0, 0], "b": [0, 1, 1, 0]}


def test_weights_of_both_signs_are_treated_alike() -> None:
    flipped = {name: -value for name, value in FINAL.items()}
    rates = {"a": 0.4, "b": 0.4}
    plain, turned = (
        Pruner(PruneRule(), rates, stream(0)).by_rate(LIVING, INITIAL, final) for final in (FINAL, flipped)
    )
    assert plain == turned


@pytest.mark.parametrize(
    ("alive", "rate", "expected"),
    [
        (10, 0.2, 2),
        (5, 0.1, 1),  # exactly a half goes up
        (15, 0.1, 2),
        (4, 0.1, 0),
        (50, 0.29, 15),  # 14.5; in floats 0.29 * 50 is 14.499999999999998
        (100, 0.285, 29),  # 28.5; in floats 28.499999999999996
        (0, 0.5, 0),
        (1, 0.5, 1),
        (2, 0.2, 0),
        (3, 0.0, 0),
        (20_000, 2.5e-05, 1),  # 0.5, of a rate that is written with an exponent
    ],
)
def test_removals_round_half_up_exactly(alive, rate, expected) -> None:
    assert removals(alive, rate) == expected
    assert removals(alive, np.float64(rate)) == expected


def test_ties_at_the_border_are_drawn_and_only_there() -> None:
    scores = np.array([2.0, 1.0, 2.0, 0.0, 2.0, 3.0])
    seen = set()
    for seed in range(40):
        chosen = lowest(scores, 3, stream(seed))
        assert chosen.sum() == 3
        assert chosen[[1, 3]].all()
        assert not chosen[5]
        seen.add(int(np.flatnonzero(chosen & (scores == 2))[0]))
    # 40 fair draws miss one of the three tied places with a chance of 3 * (2/3)**40, below one in a million.
    assert seen == {0, 2, 4}


def test_large_final_is_the_magnitude_after_training() -> None:
    weights = Weights(torch.tensor([9.0, 9.0]), torch.tensor([-0.5, 0.25]), stream(0))
    assert CRITERIA["large-final"](weights).tolist() == [0.5, 0.25]


def test_half_precision_weights_are_pruned_alike() -> None:
    final = {name: value.to(torch.bfloat16) for name, value in FINAL.items()}
    mask = Pruner(PruneRule(), {"a": 0.4, "b": 0.2}, stream(0)).by_rate(LIVING, INITIAL, final)
    assert bits(mask) == {"a": [1, 0, 1, 1, 0, 0], "b": [1, 1, 1, 0]}
