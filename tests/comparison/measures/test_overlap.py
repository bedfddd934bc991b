"""Overlap by hand, at unequal densities, and its chance by going through all placements."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import polars as pl
import pytest

from support.compare_parts import mlp, random_subject, ternary
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.pairs import compare
from tombola.comparison.table import SCHEMA

A = {"fc1": [[1, 1, 0], [0, 1, 0]], "fc2": [[1, 0], [1, 1]]}
B = {"fc1": [[1, 0, 0], [0, 1, 0]], "fc2": [[0, 1], [1, 0]]}
# fc1: 6 weights, 3 and 2 kept, 2 by both. fc2: 4 weights, 3 and 2 kept, 1 by both. all: 10, 6, 4, 3.
VALUES = {
    "jaccard": {"fc1.weight": 2 / 3, "fc2.weight": 1 / 4, "all": 3 / 7},
    "overlap-coefficient": {"fc1.weight": 2 / 2, "fc2.weight": 1 / 2, "all": 3 / 4},
    "hamming": {"fc1.weight": 1 / 6, "fc2.weight": 3 / 4, "all": 4 / 10},
    "kept-by-both": {"fc1.weight": 2 / 6, "fc2.weight": 1 / 4, "all": 3 / 10},
}


def rows(frame: pl.DataFrame, measure: str) -> dict[str, dict]:
    return {row["layer"]: row for row in frame.filter(measure=measure).iter_rows(named=True)}


def test_the_columns_of_the_table():
    frame = compare([ternary("a", **A), ternary("b", **B)])
    assert frame.columns == [
        "a",
        "b",
        "layer",
        "measure",
        "side",
        "aligned",
        "null",
        "n_null",
        "value",
        "expected",
        "z",
        "p",
    ]
    assert frame.schema == pl.Schema(SCHEMA)


@pytest.mark.parametrize("measure", VALUES)
def test_values_by_hand(measure):
    found = rows(compare([ternary("a", **A), ternary("b", **B)], measures=[measure]), measure)
    assert {layer: row["value"] for layer, row in found.items()} == pytest.approx(VALUES[measure])
    for row in found.values():
        assert (row["a"], row["b"], row["side"], row["aligned"], row["null"], row["n_null"]) == (
            *("a", "b", None, "raw", "layer-shuffle", 0),
        )


def by_enumeration(measure: str) -> dict[str, tuple[float, float, float]]:
    """Expectation, deviation and p over all 15 * 6 placements of b's weights in its layers."""
    one, two = np.array(A["fc1"]).ravel() > 0, np.array(A["fc2"]).ravel() > 0
    values: dict[str, list[float]] = {"fc1.weight": [], "fc2.weight": [], "all": []}
    for first, second in product(combinations(range(6), 2), combinations(range(4), 2)):
        shared = np.array([one[list(first)].sum(), two[list(second)].sum()])
        for layer, size, mine, theirs, both in (
            ("fc1.weight", 6, 3, 2, shared[0]),
            ("fc2.weight", 4, 3, 2, shared[1]),
            ("all", 10, 6, 4, shared.sum()),
        ):
            either = mine + theirs - both
            values[layer].append(
                {
                    "jaccard": both / either,
                    "overlap-coefficient": both / theirs,
                    "hamming": (either - both) / size,
                    "kept-by-both": both / size,
                }[measure]
            )
    chance = {}
    for layer, drawn in values.items():
        seen = VALUES[measure][layer]
        alike = [value <= seen + 1e-12 if measure == "hamming" else value >= seen - 1e-12 for value in drawn]
        chance[layer] = (np.mean(drawn), np.std(drawn), np.mean(alike))
    return chance


@pytest.mark.parametrize("measure", VALUES)
def test_chance_is_exact(measure):
    found = rows(compare([ternary("a", **A), ternary("b", **B)], measures=[measure]), measure)
    for layer, (expected, deviation, p) in by_enumeration(measure).items():
        row = found[layer]
        assert row["expected"] == pytest.approx(expected)
        assert row["z"] == pytest.approx((row["value"] - expected) / deviation)
        assert row["p"] == pytest.approx(p)


def test_unit_distance_is_the_mean_over_units():
    # unit 0: {0, 1} and {0}: 1 - 1/2; unit 1: {1} and {1}: 0; unit 2: both empty: 0; unit 3: {2} and {0}: 1
    a = ternary("a", fc1=[[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])
    b = ternary("b", fc1=[[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    found = rows(compare([a, b], measures=["unit-distance"], n_null=20), "unit-distance")
    assert found["fc1.weight"]["value"] == found["all"]["value"] == 1.5 / 4
    assert found["all"]["n_null"] == 20
    same = rows(
        compare([a, ternary("c", fc1=[[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])], n_null=2),
        "unit-distance",
    )
    assert same["all"]["value"] == 0


def test_convolutions_are_compared_weight_by_weight():
    kernel = np.zeros((2, 3, 2, 2))
    kernel[0, 1, 0, 1] = kernel[1, 2, 1, 1] = 1
    other = np.zeros((2, 3, 2, 2))
    other[0, 1, 0, 1] = other[1, 2, 1, 0] = other[1, 0, 0, 0] = 1
    frame = compare([ternary("a", conv=kernel.tolist()), ternary("b", conv=other.tolist())], n_null=2)
    assert rows(frame, "jaccard")["conv.weight"]["value"] == 1 / 4
    assert rows(frame, "hamming")["all"]["value"] == 3 / 24
    # sets of units: {one place} and the same; {one place} and two others
    assert rows(frame, "unit-distance")["all"]["value"] == (0 + 1) / 2


def test_empty_masks_have_no_overlap_and_no_chance():
    nothing = {"fc1": [[0, 0]]}
    frame = compare([ternary("a", **nothing), ternary("b", **nothing)], n_null=3)
    for measure in ("jaccard", "overlap-coefficient"):
        row = rows(frame, measure)["all"]
        assert (row["value"], row["expected"], row["z"], row["p"]) == (None, None, None, None)
    row = rows(frame, "kept-by-both")["all"]
    assert (row["value"], row["expected"], row["z"], row["p"]) == (0, 0, None, 1)
    one = compare([ternary("a", **nothing), ternary("b", fc1=[[1, 0]])], measures=["jaccard"])
    assert rows(one, "jaccard")["all"]["value"] == 0


def test_equal_masks_are_as_alike_as_can_be():
    subject = random_subject(1, (20, 10, 5), 0.3)
    twin = ternary(
        "twin",
        **{k.removesuffix(".weight"): v.tolist() for k, v in subject.weights("end").items() if "weight" in k},
    )
    frame = compare([subject, twin], network=mlp(20, 10, 5), n_null=5)
    for measure, best in {"jaccard": 1, "overlap-coefficient": 1, "hamming": 0, "unit-distance": 0}.items():
        row = rows(frame, measure)["all"]
        assert row["value"] == best
        assert np.sign(row["z"]) == MEASURES[measure].alike
        assert row["p"] < 1e-12 or row["p"] == 1 / 6


def test_independent_masks_sit_at_the_derived_chance():
    """Jaccard of independent masks of density p is p / (2 - p): 0.118 at 21.1%, 0.018 at 3.58%."""
    for density, chance in ((0.211, 0.118), (0.0358, 0.018)):
        pair = [random_subject(seed, (200, 100, 10), density) for seed in (1, 2)]
        row = rows(compare(pair, measures=["jaccard"]), "jaccard")["all"]
        assert row["expected"] == pytest.approx(chance, abs=5e-4)
        assert abs(row["z"]) < 4
