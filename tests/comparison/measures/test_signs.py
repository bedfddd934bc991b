"""Signs by hand: agreement, kappa, positive share, flips, ternary agreement; and their chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
import torch

from support.compare_parts import random_subject, tensors, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.pairs import compare
from tombola.masks.mask import Mask

A = [[1, 2, -3, -1], [1, 0, 0, 5]]
B = [[1, -2, -3, 1], [2, 4, 0, 0]]
# common survivors: row 0 (four), [1, 0]. signs a: + + - - +, b: + - - + +: 3 of 5 agree.
# a has 3 positive, b 3, both 2. living in either: 7; same sign 3, opposite 2.


def value(frame: pl.DataFrame, measure: str, **where) -> dict:
    where = {"layer": "all"} | where
    return frame.filter(measure=measure, **where).row(0, named=True)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return compare([ternary("a", fc1=A), ternary("b", fc1=B)], n_null=10)


def test_values_by_hand(frame):
    assert value(frame, "sign-agreement", side="end")["value"] == 3 / 5
    by_shares = 3 / 5 * 3 / 5 + 2 / 5 * 2 / 5
    assert value(frame, "cohen-kappa", side="end")["value"] == pytest.approx(
        (3 / 5 - by_shares) / (1 - by_shares)
    )
    assert value(frame, "ternary-agreement", side="end")["value"] == 3 / 7
    assert value(frame, "sign-similarity", side="end")["value"] == pytest.approx(1 / 7)
    assert value(frame, "positive-share", a="a", side="end")["value"] == 4 / 6
    assert value(frame, "flips", a="b")["value"] == 0
    assert value(frame, "flips", a="b")["b"] is None


def test_kappa_is_that_of_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    a, b = random_subject(1, (30, 20, 5), 0.6), random_subject(2, (30, 20, 5), 0.5)
    mine, theirs = (s.signs("end")["fc1.weight"].ravel() for s in (a, b))
    common = (mine != 0) & (theirs != 0)
    row = value(compare([a, b], measures=["cohen-kappa"]), "cohen-kappa", layer="fc1.weight", side="end")
    assert row["value"] == pytest.approx(cohen_kappa_score(mine[common], theirs[common]))
    assert row["expected"] == pytest.approx(0, abs=1e-12)


def test_sign_chance_is_that_of_all_orders_of_the_common_signs(frame):
    """b's three positive signs on any three of the five common survivors; a is positive on 0, 1, 4."""
    agreements = [
        sum((place in (0, 1, 4)) == (place in positive) for place in range(5)) / 5
        for positive in combinations(range(5), 3)
    ]
    row = value(frame, "sign-agreement", side="start")
    assert (row["null"], row["n_null"]) == ("sign-shuffle", 0)
    assert row["expected"] == pytest.approx(np.mean(agreements))
    assert row["z"] == pytest.approx((0.6 - np.mean(agreements)) / np.std(agreements))
    assert row["p"] == pytest.approx(np.mean([x >= 0.6 for x in agreements]))
    kappa = value(frame, "cohen-kappa", side="start")
    assert (kappa["p"], kappa["z"]) == pytest.approx((row["p"], row["z"]))


def test_sampled_sign_shuffles_agree_with_the_closed_form():
    pair = [random_subject(1, (30, 20), 0.9), random_subject(2, (30, 20), 0.9)]
    exact = value(compare(pair, measures=["sign-agreement"]), "sign-agreement", side="end")
    network_free = compare(
        pair, measures=["ternary-agreement", "sign-similarity"], nulls=["sign-shuffle"], n_null=400
    )
    similarity = value(network_free, "sign-similarity", side="end")
    common = sum(((a := pair[0].signs("end")[n]) * pair[1].signs("end")[n] != 0).sum() for n in pair[0].mask)
    either = sum(
        ((pair[0].signs("end")[n] != 0) | (pair[1].signs("end")[n] != 0)).sum() for n in pair[0].mask
    )
    assert a.dtype == np.int8
    # same - opposite = 2 * agreement * common - common
    expected = (2 * exact["expected"] - 1) * common / either
    spread = abs(similarity["value"] - similarity["expected"]) / abs(similarity["z"])
    assert similarity["expected"] == pytest.approx(expected, abs=5 * spread / np.sqrt(400))


def test_sides_are_read_apart():
    mask = Mask({"fc1.weight": torch.ones(2, 2, dtype=torch.bool)})
    start, end = tensors(fc1=[[1, 1], [1, -1]]), tensors(fc1=[[1, -1], [-1, -1]])
    subject = Subject("a", mask, start, end)
    frame = compare([subject, replace(subject, name="b", end=start)])
    assert value(frame, "positive-share", a="a", side="start")["value"] == 3 / 4
    assert value(frame, "positive-share", a="a", side="end")["value"] == 1 / 4
    assert value(frame, "flips", a="a")["value"] == 2 / 4
    assert value(frame, "flips", a="b")["value"] == 0
    assert value(frame, "sign-agreement", side="start")["value"] == 1
    assert value(frame, "sign-agreement", side="end")["value"] == 2 / 4


def test_positive_share_against_a_fair_coin():
    row = value(
        compare([ternary("a", fc1=[[1, 1, 1, -1, 0]])], measures=["positive-share"]),
        "positive-share",
        side="end",
    )
    assert (row["null"], row["expected"], row["n_null"]) == ("fair-signs", 0.5, 0)
    assert row["p"] == pytest.approx(5 / 16)  # three or four heads of four
    assert row["z"] == pytest.approx(0.25 / 0.25)


def test_dead_and_zero_weights_have_no_sign():
    """Weights that linger under the mask, and survivors of exactly zero, are not read."""
    mask = Mask({"fc1.weight": torch.tensor([[True, True, False, True]])})
    a = Subject("a", mask, end=tensors(fc1=[[1, 0, 5, -1]]))
    b = Subject("b", mask, end=tensors(fc1=[[1, 2, -5, -1]]))
    frame = compare([a, b], n_null=2)
    assert value(frame, "sign-agreement")["value"] == 1
    assert value(frame, "ternary-agreement")["value"] == 2 / 3
    assert value(frame, "positive-share", a="a")["value"] == 1 / 2


def test_nothing_in_common_is_undefined():
    frame = compare([ternary("a", fc1=[[1, 0]]), ternary("b", fc1=[[0, 1]])], n_null=2)
    row = value(frame, "sign-agreement", side="end")
    assert (row["value"], row["expected"], row["z"], row["p"]) == (None, None, None, None)
    one_sign = compare([ternary("a", fc1=[[1, 1]]), ternary("b", fc1=[[1, 1]])], n_null=2)
    assert value(one_sign, "cohen-kappa", side="end")["value"] is None
    assert value(one_sign, "sign-agreement", side="end")["value"] == 1


def test_subjects_are_as_they_were():
    pair = [random_subject(seed, (6, 5, 3), 0.5) for seed in (1, 2)]
    before = [({k: v.clone() for k, v in s.end.items()}, s.mask) for s in pair]
    compare(pair, n_null=3, nulls=["sign-shuffle", "layer-shuffle", "rewire", "random-sparse"])
    for subject, (end, mask) in zip(pair, before, strict=True):
        assert subject.mask == mask
        assert all(torch.equal(subject.end[name], end[name]) for name in end)
