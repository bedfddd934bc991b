"""The sign test of ranges: what is not known counts against a claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tombola.stats.sign import sign_test

DIRECTIONS = ("greater", "less", "different", "same")


def test_of_numbers_it_is_the_binomial_test() -> None:
    values = [3.0, 1.0, 2.0, 5.0, -4.0, 1.5]
    for direction, alternative in (("greater", "greater"), ("less", "less"), ("different", "two-sided")):
        oracle = stats.binomtest(5, 6, 0.5, alternative=alternative).pvalue
        assert sign_test(values, values, direction) == pytest.approx(oracle)  # type: ignore[arg-type]
    assert sign_test(values, values, "greater", 5.0) == 1 / 64
    assert sign_test(values, values, "same", 5.0) == 7 / 64, "5 is not within 5"
    assert sign_test([0.0] * 3, [0.0] * 3, "greater") == sign_test([0.0] * 3, [0.0] * 3, "less") == 1.0


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_not_known_never_helps(direction: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, margin = rng.normal(size=7), 0.0 if direction == "different" else 0.5
        known = sign_test(list(values), list(values), direction, margin)  # type: ignore[arg-type]
        low = np.where(rng.random(7) < 0.3, -math.inf, values)
        high = np.where(rng.random(7) < 0.3, math.inf, values)
        assert sign_test(list(low), list(high), direction, margin) >= known  # type: ignore[arg-type]


def test_it_errs_at_its_level_on_skewed_values() -> None:
    """Medians at zero: 5 of 5 are above in 1 / 32, though the mean is far above zero."""
    rng, times = np.random.default_rng(1), 4000
    hits = sum(
        sign_test(list(d), list(d), "greater") <= 0.05 for d in rng.lognormal(0.0, 1.5, (times, 5)) - 1.0
    )
    assert hits / times == pytest.approx(1 / 32, abs=3 * math.sqrt(1 / 32 * 31 / 32 / times))
