"""Weights by hand: distance, angle and correlation on the intersection; kept against pruned; movement; bimodality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kurtosis, skew, wasserstein_distance

from support.compare_parts import random_subject, tensors, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.measures.weights import bimodality
from tombola.comparison.pairs import compare
from tombola.errors import UserError
from tombola.masks.mask import Mask

A = ternary("a", fc1=[[3, 4, 1, 0]], fc2=[[1, 0]])
B = ternary("b", fc1=[[4, 3, 0, 7]], fc2=[[0, 2]])  # in common: 3, 4 and 4, 3


def value(frame, measure: str, **where) -> float:
    return frame.filter(measure=measure, **({"layer": "all"} | where))["value"][0]


def test_pairs_by_hand():
    frame = compare([A, B], measures=["weight-distance", "weight-angle", "weight-correlation"], n_null=2)
    for layer in ("fc1.weight", "all"):
        assert value(frame, "weight-distance", layer=layer, side="end") == pytest.approx(2**0.5)
        assert value(frame, "weight-angle", layer=layer, side="end") == pytest.approx(
            2 / np.pi * np.arccos(24 / 25)
        )
        assert value(frame, "weight-correlation", layer=layer, side="end") == pytest.approx(-1)
    assert frame.filter(layer="fc2.weight")["value"].is_null().all()


def test_the_whole_network_is_all_common_survivors_at_once():
    a, b = random_subject(1, (9, 8, 4), 0.6), random_subject(2, (9, 8, 4), 0.6)
    frame = compare([a, b], measures=["weight-distance", "weight-angle", "weight-correlation"], n_null=2)
    for side in ("start", "end"):
        x, y = (
            np.concatenate(
                [s.weights(side)[name][(a.mask & b.mask)[name]].double().numpy() for name in a.mask]
            )
            for s in (a, b)
        )
        assert value(frame, "weight-distance", side=side) == pytest.approx(np.linalg.norm(x - y))
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert value(frame, "weight-angle", side=side) == pytest.approx(2 * np.arccos(cosine) / np.pi)
        assert value(frame, "weight-correlation", side=side) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_right_angles_and_opposites():
    one, other = ternary("a", fc1=[[1, 1]]), ternary("b", fc1=[[1, -1]])
    assert value(
        compare([one, other], measures=["weight-angle"], n_null=2), "weight-angle", side="end"
    ) == pytest.approx(1)
    turned = ternary("b", fc1=[[-2, -2]])
    assert value(
        compare([one, turned], measures=["weight-angle"], n_null=2), "weight-angle", side="end"
    ) == pytest.approx(2)


def hand_made() -> Subject:
    """Four kept weights of eight. At first the kept are 1, 2, 3, 4 and the pruned 1, 2, 5, 6; in the end -2, 5, 6, 9
    and 2, 2, 4, 4."""
    mask = Mask({"fc1.weight": torch.tensor([[True] * 4 + [False] * 4])})
    first, last = tensors(fc1=[[1, 2, 3, 4, 1, 2, 5, 6]]), tensors(fc1=[[-2, 5, 6, 9, 2, 2, 4, 4]])
    return Subject("a", mask, mask.apply(first), mask.apply(last), last, dense_start=first)


def test_kept_against_pruned_by_hand():
    frame = compare([hand_made()], measures=["kept-ks", "kept-wasserstein", "kept-movement"], n_null=4)
    # F of 1 2 3 4 and of 1 2 5 6: widest apart from 4 on, 1 and 1/2. Sorted differences 0 0 2 2.
    assert value(frame, "kept-ks", side="start") == pytest.approx(1 / 2)
    assert value(frame, "kept-wasserstein", side="start") == pytest.approx(
        1 / np.std([1, 2, 3, 4, 1, 2, 5, 6])
    )
    # -2 5 6 9 and 2 2 4 4: at 4, 1/4 and 1. Sorted differences 4 3 2 5.
    assert value(frame, "kept-ks", side="end") == pytest.approx(3 / 4)
    assert value(frame, "kept-wasserstein", side="end") == pytest.approx(
        3.5 / np.std([-2, 5, 6, 9, 2, 2, 4, 4])
    )
    assert value(frame, "kept-movement") == pytest.approx((3 + 3 + 3 + 5) / (1 + 0 + 1 + 2))
    assert frame.filter(measure="kept-movement")["side"].is_null().all()


def test_kept_against_pruned_beside_scipy_in_every_layer():
    subject = random_subject(3, (12, 9, 4), 0.4)
    frame = compare([subject], measures=["kept-ks", "kept-wasserstein"], n_null=2)
    for side, state in (("start", subject.dense_start), ("end", subject.dense)):
        found = []
        for name, living in subject.mask.items():
            kept, pruned = state[name][living].double().numpy(), state[name][~living].double().numpy()
            found.append(ks_2samp(kept, pruned).statistic)
            assert value(frame, "kept-ks", side=side, layer=name) == pytest.approx(found[-1])
            distance = wasserstein_distance(kept, pruned) / state[name].double().numpy().std()
            assert value(frame, "kept-wasserstein", side=side, layer=name) == pytest.approx(distance)
        assert value(frame, "kept-ks", side=side) == pytest.approx(np.mean(found))


def test_training_by_hand():
    frame = compare([hand_made()], measures=["movement", "start-end-correlation"], n_null=4)
    assert value(frame, "movement") == pytest.approx((3 + 3 + 3 + 5) / 4 / np.std([1, 2, 3, 4]))
    assert value(frame, "start-end-correlation") == pytest.approx(
        np.corrcoef([1, 2, 3, 4], [-2, 5, 6, 9])[0, 1]
    )


def test_bimodality_is_sarles():
    values = np.random.default_rng(0).gamma(2.0, size=50)
    n = len(values)
    by_scipy = (skew(values, bias=False) ** 2 + 1) / (
        kurtosis(values, bias=False) + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))
    )
    assert bimodality(values, values) == pytest.approx(by_scipy)
    grid = np.linspace(0, 1, 20_001)
    assert bimodality(grid, grid) == pytest.approx(5 / 9, abs=1e-3)
    two = np.tile([-1.0, 1.0], 20_000)
    assert bimodality(two, two) == pytest.approx(1, abs=1e-3)
    assert np.isnan(bimodality(np.arange(3.0), grid))
    assert np.isnan(bimodality(np.ones(9), grid))


def test_bimodality_is_that_of_survivors_at_each_side():
    subject = random_subject(1, (9, 8), 0.5)
    frame = compare([subject], measures=["bimodality"], n_null=2)
    for side in ("start", "end"):
        living = subject.weights(side)["fc1.weight"][subject.mask["fc1.weight"]].double().numpy()
        assert value(frame, "bimodality", side=side) == pytest.approx(bimodality(living, living))


def test_a_tie_that_is_there_stands_out_from_its_null():
    subject = random_subject(1, (30, 20, 5), 0.3)  # the mask keeps the large weights of the dense network
    frame = compare([subject], measures=["kept-wasserstein", "start-end-correlation"], n_null=19)
    assert frame.filter(layer="all", side="end")["p"][0] == 1 / 20
    tied = replace(subject, end={name: 2 * x for name, x in subject.start.items()})
    frame = compare([tied], measures=["start-end-correlation"], n_null=19).filter(layer="all")
    assert frame["value"][0] == pytest.approx(1)
    assert frame["p"][0] == 1 / 20


def test_what_is_not_held_is_not_measured():
    subject = replace(random_subject(1, (6, 5, 3), 0.5), dense_start=None)
    family = compare([subject], measures=["weights"], n_null=2)
    assert set(family.filter(measure="kept-ks")["side"]) == {"end"}
    assert "kept-movement" not in set(family["measure"])
    with pytest.raises(
        UserError, match="holds no dense start weights; measure 'kept-movement' reads those of both"
    ):
        compare([subject], measures=["kept-movement"])
    bare = replace(subject, start=None, end=None, dense=None)
    with pytest.raises(UserError, match="holds no dense start and no dense weights; measure 'kept-ks'"):
        compare([bare], measures=["kept-ks"])
