"""Distributions of counts, beside scipy's and beside sums worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from tombola.stats.exact import SMALLEST, heads, shared, total


@pytest.mark.parametrize(
    ("size", "a", "b"), [(6, 2, 3), (10, 10, 4), (10, 0, 4), (1, 1, 1), (9, 7, 8), (500, 40, 260)]
)
def test_shared_places_are_hypergeometric(size, a, b):
    chance = shared(size, a, b)
    np.testing.assert_allclose(chance.chances, hypergeom.pmf(chance.support, size, a, b), atol=1e-14)
    assert chance.support[0] == max(0, a + b - size)
    assert chance.support[-1] == min(a, b)
    variance = a * b * (size - a) * (size - b) / (size**2 * max(size - 1, 1))
    assert chance.mean(lambda k: k) == pytest.approx(a * b / size)
    assert chance.deviation(lambda k: k) == pytest.approx(variance**0.5, abs=1e-12)


def test_nothing_has_one_outcome():
    assert shared(0, 0, 0).chances.tolist() == [1.0]


def test_a_large_layer_keeps_digits_and_mass():
    size, a, b = 235_200, 49_557, 47_040
    chance = shared(size, a, b)
    middle = slice(len(chance.chances) // 3, None, 97)
    expected = hypergeom.pmf(chance.support[middle], size, a, b)
    np.testing.assert_allclose(chance.chances[middle], expected, rtol=1e-7, atol=1e-25)
    assert chance.mean(lambda k: k) == pytest.approx(a * b / size, rel=1e-12)
    assert chance.deviation(lambda k: k) == pytest.approx(hypergeom.std(size, a, b), rel=1e-9)


def test_expectation_of_jaccard_is_the_mean_over_all_placements():
    fixed = {0, 1}
    jaccards = [
        Fraction(len(fixed & set(other)), len(fixed | set(other))) for other in combinations(range(6), 3)
    ]
    by_hand = float(sum(jaccards) / len(jaccards))
    assert shared(6, 2, 3).mean(lambda both: both / (5 - both)) == pytest.approx(by_hand, rel=1e-12)
    mean_of_ratio, ratio_of_means = by_hand, 1 / (5 - 1)
    assert abs(mean_of_ratio - ratio_of_means) > 0.005


def test_tails():
    chance = shared(6, 2, 3)  # chances of 0, 1, 2 shared: 4/20, 12/20, 4/20
    assert [chance.at_least(k) for k in (0, 1, 2)] == pytest.approx([1, 16 / 20, 4 / 20])
    assert chance.at_least(-1) == 1
    assert chance.at_least(3) == SMALLEST
    far = shared(235_200, 49_557, 47_040)
    assert far.at_least(47_040) == SMALLEST


def test_sum_of_layers():
    whole = total([shared(6, 2, 3), shared(4, 1, 2)])  # second: 0 or 1, one half each
    np.testing.assert_allclose(whole.chances, [0.1, 0.4, 0.4, 0.1])
    assert whole.first == 0
    assert total([]).mean(lambda k: k) == 0


def test_heads():
    chance = heads(7)
    np.testing.assert_allclose(chance.chances, binom.pmf(np.arange(8), 7, 0.5))
    assert heads(0).chances.tolist() == [1.0]
    assert heads(100_000).deviation(lambda k: k) == pytest.approx(np.sqrt(25_000), rel=1e-9)
