"""Intervals: their width by a printed table, none of fewer than three values, and none past the end of a range."""

from __future__ import annotations

import math

import pytest

from tombola.stats.intervals import bounds, cut, difference_bounds, half_width, interval

# The 0.975 quantile of Student's t, from a printed table: 2 and 4 degrees of freedom.
T_2, T_4 = 4.303, 2.776


def test_half_width_against_the_printed_table() -> None:
    assert half_width(3, 1.0) == pytest.approx(T_2 / math.sqrt(3), rel=1e-3)
    assert half_width(5, 2.0) == pytest.approx(2 * T_4 / math.sqrt(5), rel=1e-3)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_have_no_interval(n: int) -> None:
    assert half_width(n, 1.0) is None
    assert interval(0.5, 0.1, n) == (None, None)


def test_a_deviation_that_is_not_known_gives_no_interval() -> None:
    assert interval(0.5, None, 9) == (None, None)


def test_an_interval_is_cut_at_the_ends_of_its_range() -> None:
    half = T_2 * 0.1 / math.sqrt(3)  # 0.248
    assert interval(0.5, 0.1, 3) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-3)
    assert interval(0.9, 0.1, 3, (0.0, 1.0)) == (pytest.approx(0.9 - half, rel=1e-3), 1.0)
    assert interval(0.1, 0.1, 3, (0.0, 1.0)) == (0.0, pytest.approx(0.1 + half, rel=1e-3))


def test_nothing_cuts_to_nothing() -> None:
    assert cut(None, None, (0.0, 1.0)) == (None, None)


@pytest.mark.parametrize(
    ("quantity", "mean", "difference"),
    [
        ("early_stop_test_accuracy", (0, 1), (-1, 1)),
        ("barrier_error", (0, 1), (-1, 1)),
        ("gap", (-1, 1), (-2, 2)),
        ("early_stop_iteration", (0, math.inf), (-math.inf, math.inf)),
        ("early_stop_val_loss", (0, math.inf), (-math.inf, math.inf)),
        ("measure:jaccard", (-math.inf, math.inf), (-math.inf, math.inf)),
    ],
)
def test_ranges(quantity: str, mean: tuple[float, float], difference: tuple[float, float]) -> None:
    assert bounds(quantity) == mean
    assert difference_bounds(quantity) == difference
