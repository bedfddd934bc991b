"""Channels, blocks and N:M, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tombola.errors import UserError
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import structure
from tombola.seeds import stream


def bits(mask: Mask, name: str) -> list[list[int]]:
    return mask[name].int().flatten(1).tolist()


def pruned(
    weights: dict[str, list[list[float]]], rates: dict[str, float], kind: str, seed: int = 0, **rule: str
) -> Mask:
    state = {name: torch.tensor(value) for name, value in weights.items()}
    dense = Mask.dense({name: tuple(value.shape) for name, value in state.items()})
    return Pruner(PruneRule(structure=kind, **rule), rates, stream(seed)).by_rate(dense, state, state)


def test_the_weakest_unit_goes_with_all_its_weights() -> None:
    # Means of magnitudes 4, 3 and 3.5; a rate of 0.3 takes one of three (0.9 + 0.5).
    weights = {"fc": [[-4.0, 4.0], [6.0, 0.0], [-3.0, 4.0]]}
    assert bits(pruned(weights, {"fc": 0.3}, "channels"), "fc") == [[1, 1], [0, 0], [1, 1]]


def test_the_mean_keeps_the_sense_of_a_negative_score() -> None:
    weights = {"fc": [[-4.0, 4.0], [6.0, 0.0], [-3.0, 4.0]]}
    mask = pruned(weights, {"fc": 0.3}, "channels", criterion="small-final")
    assert bits(mask, "fc") == [[0, 0], [1, 1], [1, 1]]


def test_channels_of_unlike_size_compete_by_their_means() -> None:
    # Sums 6, 9, 4, 5; means 2, 3, 4, 5: half of the four channels go, both of a, although b's sums are smaller.
    weights = {"a": [[2.0, 2.0, 2.0], [3.0, 3.0, 3.0]], "b": [[4.0], [5.0]]}
    mask = pruned(weights, {"a": 0.5, "b": 0.5}, "channels", allocation="global")
    assert mask.counts() == {"a": 0, "b": 2}


def test_a_random_channel_is_as_likely_to_stay_whatever_its_size() -> None:
    """Of 8 small ones and 8 of a hundred weights a quarter stay, so two of each on average.

    Over 400 draws the count of small ones (hypergeometric, of variance 0.8) has a standard error of 0.045.
    """
    state = {"a": torch.zeros(8, 1), "b": torch.zeros(8, 100)}
    dense = Mask.dense({name: tuple(value.shape) for name, value in state.items()})
    rule, rates = (
        PruneRule(structure="channels", criterion="random", allocation="global"),
        {"a": 0.75, "b": 0.75},
    )
    masks = [Pruner(rule, rates, stream(seed)).by_rate(dense, state, state) for seed in range(400)]
    small = [mask.count("a") for mask in masks]
    assert all(one + mask.count("b") // 100 == 4 for one, mask in zip(small, masks, strict=True))
    assert abs(np.mean(small) - 2) < 0.27


def test_random_groups_of_one_size_score_by_their_means_as_before() -> None:
    state = {"fc": torch.zeros(6, 5)}
    dense = Mask.dense({"fc": (6, 5)})
    rule = PruneRule(structure="channels", criterion="random")
    mask = Pruner(rule, {"fc": 0.5}, stream(3)).by_rate(dense, state, state)
    means = stream(3).random((6, 5)).mean(1)
    assert bits(mask, "fc") == [[int(mean >= np.sort(means)[3])] * 5 for mean in means]


def test_a_channel_scores_by_its_living_weights() -> None:
    state = {"fc": torch.tensor([[5.0, 1.0], [3.0, 3.0], [2.0, 9.0]])}
    mask = Mask({"fc": torch.tensor([[True, False], [True, True], [True, False]])})
    # Means 5, 3 and 2 of what lives.
    after = Pruner(PruneRule(structure="channels"), {"fc": 0.3}, stream(0)).by_rate(mask, state, state)
    assert bits(after, "fc") == [[1, 0], [1, 1], [0, 0]]


def test_output_channels_of_a_convolution_are_its_first_axis() -> None:
    assert structure("channels").groups((2, 3, 1, 1)).tolist() == [0, 0, 0, 1, 1, 1]


def test_blocks_with_ragged_edges() -> None:
    # Three rows of five, in blocks of two by two.
    assert structure("block-2x2").groups((3, 5)).reshape(3, 5).tolist() == [
        [0, 0, 1, 1, 2],
        [0, 0, 1, 1, 2],
        [3, 3, 4, 4, 5],
    ]
    # The same for a convolution of five channels, kernel 1; height and width are not mistaken for each other.
    assert structure("block-1x4").groups((2, 5, 1, 1)).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 2, 3]
    assert structure("block-2x1").groups((3, 2)).tolist() == [0, 1, 0, 1, 2, 3]


def test_the_weakest_blocks_go() -> None:
    weights = {"fc": [[1.0, 2.0, 9.0], [3.0, 2.0, 9.0], [5.0, 5.0, 1.0]]}
    # Blocks of 2 x 2: means 2, 9, 5 and 1. Half of the four go.
    assert bits(pruned(weights, {"fc": 0.5}, "block-2x2"), "fc") == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_two_of_four_keeps_the_two_largest_of_each_four() -> None:
    weights = {
        "fc": [[4.0, -3.0, 2.0, 1.0, 10.0, -30.0, 20.0, 5.0], [0.0, 0.1, 0.0, 0.2, 8.0, 7.0, -9.0, 6.0]]
    }
    assert bits(pruned(weights, {"fc": 0.5}, "2:4"), "fc") == [
        [1, 1, 0, 0, 0, 1, 1, 0],
        [0, 1, 0, 1, 1, 0, 1, 0],
    ]


def test_a_short_last_group_keeps_its_quota_too() -> None:
    # Six inputs: two of four, and both of the last two; 4 of 6 is a rate of a third.
    weights = {"fc": [[4.0, 3.0, 2.0, 1.0, 0.5, 0.25]] * 3}
    assert bits(pruned(weights, {"fc": 0.3333}, "2:4"), "fc") == [[1, 1, 0, 0, 1, 1]] * 3
    with pytest.raises(
        UserError, match=r"structure '2:4' leaves 12 of the 18 weights of 'fc', .* keeps 9; expected"
    ):
        pruned(weights, {"fc": 0.5}, "2:4")


def test_equal_weights_of_a_group_are_drawn() -> None:
    # Six ways to keep two of four; 200 fair draws miss one with a chance of 6 * (5/6)**200.
    rows = {tuple(row) for row in bits(pruned({"fc": [[1.0] * 4] * 200}, {"fc": 0.5}, "2:4"), "fc")}
    assert len(rows) == 6
    assert {sum(row) for row in rows} == {2}


def test_equal_channels_are_drawn() -> None:
    gone = {
        bits(pruned({"fc": [[1.0, 1.0]] * 3}, {"fc": 0.3}, "channels", seed), "fc").index([0, 0])
        for seed in range(40)
    }
    assert gone == {0, 1, 2}


def test_a_ratio_has_one_level_and_leaves_what_is_at_it() -> None:
    shapes = {"fc": (2, 8), "out": (3, 2)}
    rates = {"fc": 0.5, "out": 0.0}
    assert ladder(shapes, rates, "layerwise", 1, "2:4")[1] == {"fc": 8, "out": 6}
    with pytest.raises(
        UserError, match="leaves 8 of the 8 weights of 'fc' at level 2, but the allocation keeps 4"
    ):
        ladder(shapes, rates, "layerwise", 2, "2:4")
    with pytest.raises(
        UserError, match="leaves 8 of the 16 weights of 'fc' at level 1, but the allocation keeps 11"
    ):
        ladder(shapes, {"fc": 0.3, "out": 0.0}, "layerwise", 1, "2:4")


def test_ladders_of_channels_lose_channels() -> None:
    # Ten units of 6 weights: 10 -> 8 -> 8 - 2 (1.6 + 0.5) -> 6 - 1; four channels of 18: 4 -> 3 -> 2 -> 2.
    rungs = ladder(
        {"fc": (10, 6), "conv": (4, 2, 3, 3)}, {"fc": 0.2, "conv": 0.2}, "layerwise", 3, "channels"
    )
    assert rungs == [
        {"fc": 60, "conv": 72},
        {"fc": 48, "conv": 54},
        {"fc": 36, "conv": 36},
        {"fc": 30, "conv": 36},
    ]


def test_ladders_of_unlike_channels_count_their_mean() -> None:
    # 14 channels of together 132 weights; 14 - 3 (2.8 + 0.5) = 11 of them: 103.7, so 104.
    shapes, rates = {"fc": (10, 6), "conv": (4, 2, 3, 3)}, {"fc": 0.2, "conv": 0.2}
    rungs = ladder(shapes, rates, "global", 1, "channels")
    assert rungs == [{"global": 132}, {"global": 104}]
    # One-shot pruning reads eleven channels out of it again.
    rng = stream("weights")
    state = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    rule = PruneRule(allocation="global", structure="channels")
    mask = Pruner(rule, rates, stream(0)).to_counts(Mask.dense(shapes), state, state, rungs[1])
    assert sum(int(mask[name].flatten(1).any(1).sum()) for name in shapes) == 11


def test_ladders_that_empty_a_tensor_count_its_groups() -> None:
    # Two channels: 2 - 1 (0.8 + 0.5) = 1, and 1 - 0 (0.4 + 0.5) = 1; at 0.5 the last goes: 1 - 1 (0.5 + 0.5).
    assert ladder({"fc": (2, 9)}, {"fc": 0.4}, "layerwise", 5, "channels")[-1] == {"fc": 9}
    with pytest.raises(
        UserError, match=r"level 2 would remove the last weights of 'fc' \(1 left, rate 0.5\)"
    ):
        ladder({"fc": (2, 9)}, {"fc": 0.5}, "layerwise", 2, "channels")


def test_what_is_counted() -> None:
    alive = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]], dtype=bool)
    assert [structure(kind).count(alive) for kind in ("weights", "channels", "block-2x2", "1:2")] == [
        4,
        2,
        3,
        4,
    ]
    assert structure("1:2").ratio(alive) == 3


@pytest.mark.parametrize("kind", ["weights", "channels", "block-2x2", "2:4"])
def test_scores_and_the_living_stay_as_they_are(kind: str) -> None:
    scores, alive = {"fc": np.arange(32.0).reshape(4, 8)}, {"fc": np.ones((4, 8), dtype=bool)}
    groups = structure(kind)
    after = groups.survivors(scores, alive, groups.count(alive["fc"]) // 2, stream(0))
    assert after["fc"].sum() == 16
    assert alive["fc"].all()
    assert np.array_equal(scores["fc"], np.arange(32.0).reshape(4, 8))
    groups.survivors(scores, alive, 0, stream(0))["fc"][:] = False
    assert alive["fc"].all()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("2;4", "unknown structure '2;4'; did you mean '2:4'"),
        ("N:M", "unknown structure 'N:M'"),
        ("block-4", "did you mean 'block-4x4'"),
        ("block-0x4", "unknown structure"),
        ("channel", "did you mean 'channels'"),
        ("4:4", "structure '4:4' removes nothing"),
        ("5:4", "structure '5:4' removes nothing"),
    ],
)
def test_an_unknown_structure_is_told(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        structure(name)
