"""Gradual pruning: the cubic schedule by hand, and its counts."""

from __future__ import annotations

import itertools

import pytest
import torch

from tombola.errors import UserError
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.seeds import stream
from tombola.training.search.gradual import cubic_counts


def test_counts_by_hand() -> None:
    # From 10,000 to 2,000 between 100 and 200: 2000 + 8000 * (3/4)**3 at 125, 2000 + 8000 / 8 at 150.
    found = [cubic_counts(t, 100, 200, {"a": 10000}, {"a": 2000})["a"] for t in (0, 100, 125, 150, 200, 999)]
    assert found == [10000, 10000, 5375, 3000, 2000, 2000]
    # Half way an eighth of the difference is to go: 11 + 80/8 = 21, and 3 + 4/8 = 3.5, which is 4.
    first, last = {"a": 91, "b": 7}, {"a": 11, "b": 3}
    assert cubic_counts(150, 100, 200, first, last) == {"a": 21, "b": 4}
    assert cubic_counts(100, 100, 200, first, last) == first
    assert cubic_counts(200, 100, 200, first, last) == last


def test_masks_go_down_between_two_rungs() -> None:
    shapes, rates, rule = {"fc": (10, 7), "out": (3, 10)}, {"fc": 0.5, "out": 0.3}, PruneRule()
    rungs = ladder(shapes, rates, "layerwise", 2)
    mask, rng = Mask.dense(shapes), stream("weights")
    masks = [mask]
    for step in range(0, 60, 5):
        state = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
        counts = cubic_counts(step, 10, 50, rungs[0], rungs[2])
        mask = Pruner(rule, rates, stream(step)).to_counts(mask, state, state, counts)
        assert mask.counts() == counts
        masks.append(mask)
    assert all(after <= before for before, after in itertools.pairwise(masks))
    assert masks[-1].counts() == rungs[2]


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="from iteration 5 to 5, expected a later end"):
        cubic_counts(0, 5, 5, {"a": 4}, {"a": 3})
    with pytest.raises(UserError, match="of 'a' from 3 to 4, expected a last count between 0 and the first"):
        cubic_counts(0, 0, 5, {"a": 3}, {"a": 4})
    with pytest.raises(UserError, match="of 'b' from none to 4"):
        cubic_counts(0, 0, 5, {"a": 3}, {"a": 3, "b": 4})
