"""Early birds: distances, when a ticket is drawn, and masks of channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.seeds import stream
from tombola.training.search.early_bird import (
    EarlyBird,
    channel_mask,
    distance_map,
    mask_distance,
    norm_scales,
)


def first(number: int) -> Mask:
    """Twenty weights of which the first so many live."""
    return Mask({"x": torch.arange(16) < number, "y": torch.arange(16, 20) < number})


def test_distance_is_the_share_of_weights_that_differ() -> None:
    assert mask_distance(first(5), first(5)) == 0
    assert mask_distance(first(5), first(8)) == mask_distance(first(8), first(5)) == 3 / 20
    assert mask_distance(first(15), first(18)) == 3 / 20
    assert mask_distance(first(5), ~first(5)) == 1


def test_the_map_has_all_pairs() -> None:
    masks = [first(0), first(4), first(20)]
    assert distance_map(masks).tolist() == [[0, 0.2, 1.0], [0.2, 0, 0.8], [1.0, 0.8, 0]]


def test_it_is_drawn_after_five_calm_steps_in_a_row() -> None:
    # Steps of 4, 1, 1, 1, 2, 1, 1, 1, 1, 1 and 4 twentieths: 2 is not below a tenth.
    steps, counts = [4, 1, 1, 1, 2, 1, 1, 1, 1, 1, 4], [20]
    for step in steps:
        counts.append(counts[-1] - step)
    masks = [first(count) for count in counts]
    bird = EarlyBird()
    assert bird.drawn(masks) == 10
    assert bird.drawn(masks[:11]) == 10
    assert bird.drawn(masks[:10]) is None
    assert EarlyBird(window=3).drawn(masks) == 4
    assert EarlyBird(threshold=0.11).drawn(masks) == 6
    assert EarlyBird(threshold=0.3, window=1).drawn(masks) == 1
    assert bird.drawn([]) is None


@pytest.mark.parametrize("bad", [{"threshold": 0.0}, {"window": 0}, {"threshold": float("nan")}])
def test_a_bad_bird_is_refused(bad) -> None:
    with pytest.raises(UserError, match="expected both above 0"):
        EarlyBird(**bad)


def test_channels_go_by_the_size_of_their_scale_across_layers() -> None:
    scales = {"n2.weight": torch.tensor([0.5, -0.1, 2.0]), "n1.weight": torch.tensor([-3.0, 0.2])}
    # Two of five (2 + 0.5): 0.1 and 0.2.
    mask = channel_mask(scales, 0.4, stream(0))
    assert {name: tensor.tolist() for name, tensor in mask.items()} == {
        "n1.weight": [True, False],
        "n2.weight": [True, False, True],
    }
    with pytest.raises(UserError, match="not all finite"):
        channel_mask({"n": torch.tensor([1.0, float("nan")])}, 0.5, stream(0))
    ties = {"n": torch.ones(3)}
    assert {tuple(channel_mask(ties, 0.3, stream(seed))["n"].tolist()) for seed in range(40)} == {
        (False, True, True),
        (True, False, True),
        (True, True, False),
    }


def test_scales_are_those_of_the_batch_norms() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.BatchNorm2d(2),
        nn.GroupNorm(1, 2),
        nn.Sequential(nn.BatchNorm2d(2, affine=False)),
    )
    scales = norm_scales(module)
    assert {name: value.tolist() for name, value in scales.items()} == {"1.weight": [1.0, 1.0]}
    scales["1.weight"].zero_()
    assert module[1].weight.tolist() == [1.0, 1.0]
    assert list(norm_scales(nn.BatchNorm1d(3))) == ["weight"]
