"""Paired tests over replicates: by hand, beside scipy, by the non-central t distribution and by counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from tombola.stats.paired import (
    beyond_margin,
    flips_needed,
    paired,
    power_of_t,
    replicates_for_power,
    smallest,
)

RNG = np.random.default_rng
DIRECTIONS = ("greater", "less", "different", "same")


def flips(differences: list[float], direction: str = "greater", margin: float = 0.0) -> float | None:
    """p of the sign-flip test of these differences."""
    zeros = [0.0] * len(differences)
    return paired(differences, zeros, "sign-flip", direction, margin, RNG(0)).p  # type: ignore[arg-type]


def by_counting(differences: list[float], direction: str, margin: float) -> float:
    """The same, written out: all ways of turning signs, and the share whose mean is as far in the direction."""
    if direction == "same":
        return max(by_counting(differences, "greater", margin), by_counting(differences, "less", margin))
    moved = np.array(differences) + (
        margin if direction == "greater" else -margin if direction == "less" else 0.0
    )
    means = np.array([np.mean(np.array(s) * moved) for s in itertools.product([1, -1], repeat=len(moved))])
    far = {"greater": means, "less": -means, "different": np.abs(means)}[direction]
    return float(np.mean(far >= far[0] - 1e-12))  # the first way turns none


def test_sign_flips_by_hand() -> None:
    assert flips([1, 2, 3, 4, 5]) == 1 / 32
    assert flips([-1, -2, -3, -4, -5]) == 1.0
    assert flips([1, 2, 3, 4, 5], "different") == 2 / 32
    assert flips([1, 2, 3, 4, 5], "less") == 1.0
    assert flips([-1, 2, 3, 4, 5]) == 2 / 32  # only all positive is larger than this
    assert flips([0, 2, 3, 4, 5]) == 2 / 32  # a zero has two signs that change nothing
    assert flips([0, 0, 0]) == 1.0
    assert flips([1, 1, -1]) == 4 / 8  # +++ and the three ways with two pluses
    assert flips([3]) == 1 / 2
    # not worse by more than 2: 1, -1 are 3, 1 beyond it
    assert flips([1, -1], "greater", 2.0) == 1 / 4
    assert flips([1, -1], "less", 2.0) == 1 / 4
    assert flips([1, -1], "same", 2.0) == 1 / 4
    assert flips([5, -1], "same", 2.0) == by_counting([5, -1], "less", 2.0) == 3 / 4


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sign_flips_are_all_ways_of_turning_signs(direction: str) -> None:
    rng = RNG(3)
    for _ in range(20):
        differences = list(rng.integers(-3, 4, 6).astype(float))  # whole numbers: many ties
        margin = 0.0 if direction == "different" else 1.5
        assert flips(differences, direction, margin) == pytest.approx(
            by_counting(differences, direction, margin)
        )


def test_accuracies_tie_though_decimals_do_not_add_up() -> None:
    """0.3 - 0.1 is not 0.2 in binary: the ties of hundredths must be found all the same."""
    a, b = [0.93, 0.92, 0.91, 0.94], [0.92, 0.91, 0.92, 0.93]  # differences 0.01, 0.01, -0.01, 0.01
    assert paired(a, b, "sign-flip", "greater", 0.0, RNG(0)).p == 5 / 16


@pytest.mark.parametrize("direction", ["greater", "less", "different"])
def test_t_is_that_of_scipy(direction: str) -> None:
    a, b = RNG(1).normal(1, 1, 9), RNG(2).normal(0.5, 1, 9)
    alternative = {"greater": "greater", "less": "less", "different": "two-sided"}[direction]
    oracle = stats.ttest_rel(a, b, alternative=alternative)
    found = paired(list(a), list(b), "t", direction, 0.0, RNG(0))  # type: ignore[arg-type]
    assert found.p == pytest.approx(oracle.pvalue)
    both_sided = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((both_sided.low, both_sided.high))
    assert found.effect == pytest.approx(np.mean(a - b) / np.std(a - b, ddof=1))
    assert (found.mean_a, found.mean_b) == pytest.approx((a.mean(), b.mean()))


def test_t_with_a_margin_tests_the_moved_differences() -> None:
    a, b = RNG(4).normal(0, 1, 7), RNG(5).normal(0, 1, 7)
    greater = stats.ttest_1samp(a - b + 0.5, 0, alternative="greater").pvalue
    less = stats.ttest_1samp(a - b - 0.5, 0, alternative="less").pvalue
    wanted = {"greater": greater, "less": less, "same": max(greater, less)}
    for direction, p in wanted.items():
        assert paired(list(a), list(b), "t", direction, 0.5, RNG(0)).p == pytest.approx(p)  # type: ignore[arg-type]


def test_t_has_nothing_to_say_of_one_or_of_equal_differences() -> None:
    assert paired([1.0], [0.5], "t", "greater", 0.0, RNG(0)).p is None
    same = paired([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], "t", "greater", 0.0, RNG(0))
    assert (same.difference, same.p, same.effect) == (1.0, None, None)


@pytest.mark.parametrize("direction", ["greater", "less", "different", "same"])
def test_many_replicates_are_sampled_with_the_same_bits(direction: str) -> None:
    values = list(RNG(0).normal(0.3, 1, 20))
    one, again, other = (
        paired(values, [0.0] * 20, "sign-flip", direction, 0.5 * (direction != "different"), RNG(s)).p  # type: ignore[arg-type]
        for s in (1, 1, 2)
    )
    assert one == again
    assert one == pytest.approx(other, abs=0.02)
    assert one is not None
    assert one > 1 / (2**14 + 1) - 1e-12


@pytest.mark.parametrize(("n", "one", "two"), [(1, 0.5, 1.0), (5, 1 / 32, 1 / 16), (8, 1 / 256, 1 / 128)])
def test_the_smallest_p(n: int, one: float, two: float) -> None:
    assert [smallest("sign-flip", n, d) for d in ("greater", "less", "same")] == [one] * 3
    assert smallest("sign-flip", n, "different") == two
    assert smallest("t", n, "greater") == (1.0 if n == 1 else 0.0)


def test_replicates_that_sign_flips_need() -> None:
    assert flips_needed(0.05, "greater") == 5  # 1/32
    assert flips_needed(0.05, "different") == 6  # 2/64
    assert flips_needed(0.05 / 7, "greater") == 8  # 7/256 = 0.027; 7/128 = 0.055
    assert flips_needed(1e-6, "greater") is None  # 1/(1 + 2^14) is the smallest once ways are drawn


def test_replicates_that_a_t_test_needs() -> None:
    """At alpha 0.05 (Cohen 1988): d = 0.5 takes 34 two-sided and 27 one-sided, d = 0.8 takes 15 and 12."""
    assert replicates_for_power(0.5, 0.05, "different") == 34
    assert replicates_for_power(0.5, 0.05, "greater") == 27
    assert replicates_for_power(0.8, 0.05, "less") == 12
    assert replicates_for_power(0.8, 0.05, "different") == 15
    assert replicates_for_power(0.0, 0.05, "greater") is None
    assert replicates_for_power(-1.0, 0.05, "greater") is None
    assert replicates_for_power(0.001, 0.05, "greater") is None
    assert replicates_for_power(1.0, 0.05, "same") is None
    assert power_of_t(1, 5.0, 0.05, "greater") == 0.0
    assert power_of_t(50, 20.0, 0.05, "greater") == 1.0


def test_the_effect_beyond_the_margin() -> None:
    a = [1.0, 2.0, 3.0, 2.0]  # mean 2, deviation 0.816
    found = paired(a, [0.0] * 4, "t", "greater", 0.0, RNG(0))
    deviation = float(np.std(a, ddof=1))
    assert beyond_margin(found, 4, "greater", 1.0) == pytest.approx(3 / deviation)
    assert beyond_margin(found, 4, "less", 1.0) == pytest.approx(-1 / deviation)
    assert beyond_margin(found, 4, "different", 0.0) == pytest.approx(2 / deviation)
    centred = paired([1.0, -1.0, 0.0], [0.0] * 3, "t", "greater", 0.0, RNG(0))  # deviation 1
    assert beyond_margin(centred, 3, "greater", 1.0) == pytest.approx(1.0)
    two = paired([1.0, -1.0], [0.0, 0.0], "t", "greater", 0.0, RNG(0))  # no interval
    assert beyond_margin(two, 2, "greater", 1.0) is None


TRIALS = 800


@pytest.mark.parametrize("test", ["sign-flip", "t"])
@pytest.mark.parametrize("direction", ["greater", "different"])
def test_without_an_effect_the_test_errs_at_alpha(test: str, direction: str) -> None:
    """Sign-flips only reach multiples of 1/2^n: at 8 replicates 12/256 one-sided, 2 * 6/256 two-sided."""
    rng, n = RNG(10), 8
    p = [paired(list(rng.standard_normal(n)), [0.0] * n, test, direction, 0.0, rng).p for _ in range(TRIALS)]  # type: ignore[arg-type]
    alpha = 12 / 256 if test == "sign-flip" else 0.05
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(alpha, abs=4 * np.sqrt(alpha * (1 - alpha) / TRIALS))


def test_intervals_cover_95_percent() -> None:
    rng, truth = RNG(11), 0.7
    found = [
        paired(list(rng.normal(truth, 1, 6)), [0.0] * 6, "t", "greater", 0.0, rng) for _ in range(TRIALS)
    ]
    covered = np.mean([one.low <= truth <= one.high for one in found])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / TRIALS))


@pytest.mark.parametrize(("n", "effect"), [(8, 0.6), (8, 1.0), (20, 0.4)])
def test_the_power_of_t_is_what_is_claimed(n: int, effect: float) -> None:
    rng = RNG(12)
    samples = rng.standard_normal((4000, n)) + effect
    t = samples.mean(axis=1) / samples.std(axis=1, ddof=1) * np.sqrt(n)
    power = np.mean(t > stats.t.isf(0.05, n - 1))
    assert power_of_t(n, effect, 0.05, "greater") == pytest.approx(power, abs=4 * np.sqrt(0.25 / 4000))


def test_the_power_of_sign_flips_is_that_of_counting() -> None:
    """Differences are 1 with chance 0.9, else -1: p depends on how many are 1 alone, and the power is binomial."""
    rng, n, chance = RNG(13), 8, 0.9
    limit = min(k for k in range(n + 1) if stats.binom.sf(k - 1, n, 0.5) <= 0.05)
    power = stats.binom.sf(limit - 1, n, chance)
    draws = np.where(rng.random((TRIALS, n)) < chance, 1.0, -1.0)
    yes = [paired(list(d), [0.0] * n, "sign-flip", "greater", 0.0, rng).p <= 0.05 for d in draws]  # type: ignore[operator]
    assert np.mean(yes) == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / TRIALS))


def test_operands_are_left_alone() -> None:
    a, b = [1.0, 2.0], [0.5, 0.5]
    paired(a, b, "sign-flip", "same", 0.3, RNG(0))
    assert (a, b) == ([1.0, 2.0], [0.5, 0.5])
