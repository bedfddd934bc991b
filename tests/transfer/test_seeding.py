"""Seeding by hand: what is made of weights, and how many of them a mask keeps beside chance."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from support.transfer_parts import small
from tombola.masks.mask import Mask
from tombola.transfer.seeding import scaled, survival, with_signs

STATE = {
    "fc1.weight": torch.tensor([[1.0, -2.0], [3.0, -4.0], [0.0, 6.0]]),
    "fc1.bias": torch.ones(3),
    "out.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
}
CHOSEN = small([[1, 1], [0, 1], [0, 0]], [[0, 0, 0], [1, 0, 0]])


def test_chosen_weights_grow_and_nothing_else_does() -> None:
    found = scaled(STATE, CHOSEN, 3)
    assert found["fc1.weight"].tolist() == [[3, -6], [3, -12], [0, 6]]
    assert found["out.weight"].tolist() == [[1, 2, 3], [12, 5, 6]]
    assert found["fc1.bias"] is STATE["fc1.bias"]


def test_chosen_weights_take_signs_where_there_are_some() -> None:
    other = {
        "fc1.weight": torch.tensor([[-9.0, 0.0], [-9.0, 9.0], [-9.0, -9.0]]),
        "out.weight": -STATE["out.weight"],
    }
    found = with_signs(STATE, CHOSEN, other)
    assert found["fc1.weight"].tolist() == [[-1, -2], [3, 4], [0, 6]]
    assert found["out.weight"].tolist() == [[1, 2, 3], [-4, 5, 6]]


def test_survival_beside_chance_by_counting_masks() -> None:
    """Of 6 places 3 are chosen and 2 drawn: 15 masks, of which each is counted. The second tensor is drawn whole and
    has no say."""
    drawn = small([[1, 0], [0, 1], [0, 0]], [[1, 1, 1], [1, 1, 1]])
    found = survival(CHOSEN, drawn)
    assert (found.lived, found.chosen) == (2, 3)
    shared = [len({0, 1, 3} & set(pair)) for pair in combinations(range(6), 2)]
    assert found.by_chance == pytest.approx(sum(shared) / 15)
    assert found.p == pytest.approx(shared.count(2) / 15)


def test_a_mask_that_drops_nothing_says_nothing() -> None:
    found = survival(CHOSEN, Mask.dense(CHOSEN.shapes))
    assert (found.lived, found.chosen, found.by_chance, found.p) == (0, 0, 0, 1.0)
