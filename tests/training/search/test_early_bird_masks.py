"""Early birds: distances, and when a ticket is drawn."""

from __future__ import annotations

import torch

from tombola.masks.mask import Mask
from tombola.training.search.early_bird import distance_map, first_calm, mask_distance


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
    assert first_calm(masks, 0.1, 5) == 10
    assert first_calm(masks[:11], 0.1, 5) == 10
    assert first_calm(masks[:10], 0.1, 5) is None
    assert first_calm(masks, 0.1, 3) == 4
    assert first_calm(masks, 0.11, 5) == 6
    assert first_calm(masks, 0.3, 1) == 1
    assert first_calm([], 0.1, 5) is None
