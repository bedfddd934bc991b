"""Degrees by hand: Gini, mean, largest, of units and of inputs; what an edge of a convolution is; input maps."""

from __future__ import annotations

import numpy as np
import pytest

from support.compare_parts import ternary
from tombola.alignment.subject import Subject
from tombola.comparison.measures.graph import correlation, gini
from tombola.comparison.pairs import compare

# units keep 3, 1, 0 inputs; inputs are kept by 1, 2, 1, 0 units.
FC1 = [[1, -2, 3, 0], [0, 4, 0, 0], [0, 0, 0, 0]]
# units keep 1, 1; inputs are kept by 2, 0, 0.
FC2 = [[1, 0, 0], [2, 0, 0]]


def values(subject: Subject, measure: str) -> dict[str, float]:
    frame = compare([subject], measures=[measure], n_null=2)
    assert frame["b"].is_null().all()
    return dict(frame.select("layer", "value").rows())


@pytest.mark.parametrize(
    ("measure", "first", "second"),
    [
        # 1/2 the mean of |x - y| over all ordered pairs, over the mean: (3, 1, 0): 12 / 9 / 2 / (4 / 3) = 1 / 2
        ("in-degree-gini", 1 / 2, 0.0),
        ("in-degree-mean", 4 / 3, 1.0),
        ("in-degree-max", 3, 1),
        # (1, 2, 1, 0): ordered differences 2 * (1 + 0 + 1 + 1 + 2 + 1) = 12; 12 / 16 / 2 / 1.
        # (2, 0, 0): 8 / 9 / 2 / (2 / 3)
        ("out-degree-gini", 3 / 8, 2 / 3),
        ("out-degree-mean", 1, 2 / 3),
        ("out-degree-max", 2, 2),
    ],
)
def test_by_hand(measure, first, second):
    found = values(ternary("a", fc1=FC1, fc2=FC2), measure)
    assert found["fc1.weight"] == pytest.approx(first)
    assert found["fc2.weight"] == pytest.approx(second)
    assert found["all"] == pytest.approx((first + second) / 2)


def test_gini_is_half_the_relative_mean_difference():
    numbers = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    by_definition = np.abs(numbers[:, None] - numbers[None, :]).mean() / (2 * numbers.mean())
    assert gini(numbers) == pytest.approx(by_definition)
    assert gini(np.array([0.0, 0.0, 0.0, 5.0])) == pytest.approx(3 / 4)  # one has all: 1 - 1 / n
    assert np.isnan(gini(np.zeros(3)))


def test_the_inputs_of_a_convolution_are_channels_at_places_of_the_kernel():
    kernels = np.zeros((2, 2, 1, 2))
    kernels[0, 0] = [[1, 1]]
    kernels[1, 0] = [[1, 0]]
    found = {
        name: values(ternary("a", conv=kernels.tolist()), name)["all"]
        for name in ("out-degree-max", "out-degree-mean", "in-degree-max")
    }
    assert found == {"out-degree-max": 2, "out-degree-mean": 3 / 4, "in-degree-max": 2}


def test_an_empty_layer_has_no_gini_and_does_not_count():
    found = values(ternary("a", fc1=FC1, fc2=[[0, 0, 0]]), "in-degree-gini")
    assert found == {"fc1.weight": pytest.approx(1 / 2), "fc2.weight": None, "all": pytest.approx(1 / 2)}


def test_input_maps():
    a = ternary("a", fc1=FC1, fc2=FC2)
    b = ternary("b", fc1=[[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]], fc2=[[0, 1, 1], [0, 0, 1]])
    frame = compare([a, b], measures=["input-map"], n_null=2)
    found = dict(frame.select("layer", "value").rows())
    first = np.corrcoef([1, 2, 1, 0], [0, 3, 2, 1])[0, 1]
    second = np.corrcoef([2, 0, 0], [0, 1, 2])[0, 1]
    assert found == {
        "fc1.weight": pytest.approx(first),
        "fc2.weight": pytest.approx(second),
        "all": pytest.approx((first + second) / 2),
    }
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
