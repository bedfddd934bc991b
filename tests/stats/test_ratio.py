"""The interval of a ratio of means: by hand, beside a scan of ratios, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tombola.stats.ratio import ratio_interval


def test_a_whole_without_noise_is_a_scale() -> None:
    part = [1.0, 2.0, 3.0, 2.0]
    found = ratio_interval(part, [4.0] * 4)
    half = stats.t.isf(0.025, 3) * np.std(part, ddof=1) / 2
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, (2 - half) / 4, (2 + half) / 4))


def test_it_holds_the_ratios_that_t_does_not_refute() -> None:
    rng = np.random.default_rng(3)
    whole = rng.normal(2.0, 0.5, 8)
    part = 0.4 * whole + rng.normal(0, 0.3, 8)
    found = ratio_interval(list(part), list(whole))
    assert found is not None
    for q in np.linspace(-1, 2, 301):
        inside = stats.ttest_1samp(part - q * whole, 0).pvalue >= 0.05
        assert inside == (found.low <= q <= found.high)


def test_no_share_of_a_gap_that_may_not_be_there() -> None:
    part = [0.1, 0.2, 0.3, 0.1]
    assert ratio_interval(part, [0.5, -0.4, 0.6, 0.1]) is None
    assert ratio_interval(part, [-0.5, -0.4, -0.6, -0.5]) is not None
    assert ratio_interval(part[:2], [0.5, 0.5]) is None
    with pytest.raises(ValueError, match="found 4 and 3"):
        ratio_interval(part, [1.0, 1.0, 1.0])


def covers(times: int, n: int, noise: float, seed: int) -> float:
    """How often a share of 0.4 is covered, whole of 1, both with this noise and in common a part of it."""
    rng, held, known = np.random.default_rng(seed), 0, 0
    for _ in range(times):
        common = rng.normal(0, noise, n)
        whole, part = 1 + common, 0.4 + 0.3 * common + rng.normal(0, noise / 2, n)
        found = ratio_interval(list(part), list(whole))
        if found is not None:
            known += 1
            held += found.low <= 0.4 <= found.high
    assert known >= 0.9 * times
    return held / known


def test_it_covers_95_percent() -> None:
    assert covers(1000, 8, 0.5, 1) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


@pytest.mark.deep
@pytest.mark.parametrize("n", [5, 8, 12])
def test_it_covers_95_percent_whatever_n(n: int) -> None:
    found = covers(20_000, n, 0.2 * math.sqrt(n), n)  # a whole of 5 standard errors
    print(f"n = {n}: covers {found:.4f}")
    assert found == pytest.approx(0.95, abs=0.015)
