"""The test over replicates: its statistic by hand, all ways of dealing labels, exactness by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tombola.stats.permutation import Contrasted, Items, clear, contrasted, deals, smallest_p

RNG = np.random.default_rng


def one_draw(replicates: int) -> Items:
    """A then B of each replicate."""
    return Items(np.repeat(np.arange(replicates), 2), np.tile([True, False], replicates))


def symmetric(rng: np.random.Generator, n: int) -> np.ndarray:
    scores = rng.standard_normal((n, n))
    return scores + scores.T


def test_contrast_by_hand():
    # items A0 B0 A1 B1 A2 B2; A's pairs score 3, 5, 7, B's 1, 1, 4, cross pairs anything
    scores = np.zeros((6, 6))
    for (i, j), score in {
        (0, 2): 3,
        (0, 4): 5,
        (2, 4): 7,
        (1, 3): 1,
        (1, 5): 1,
        (3, 5): 4,
        (0, 3): 2,
    }.items():
        scores[i, j] = scores[j, i] = score
    scores[0, 1] = scores[1, 0] = 100  # within a replicate: must not be read
    result = contrasted(scores, one_draw(3), RNG(0))
    assert (result.mean_a, result.mean_b) == (5, 2)
    assert result.difference == 3
    # without r0: 7 - 4 = 3; without r1: 5 - 1 = 4; without r2: 3 - 1 = 2. Pseudo-values 3*3 - 2*those: 3, 1, 5
    margin = 4.302652729911275 * 2 / 3**0.5  # t of 2 degrees of freedom; their deviation is 2
    assert (result.low, result.high) == pytest.approx((3 - margin, 3 + margin))
    assert result.effect == pytest.approx(3 / 2)


def test_one_draw_is_a_sign_flip_test_of_the_replicates_differences():
    """d_r and its sign-flips written out, against the relabelling of whole replicates."""
    for seed in range(5):
        scores, n = symmetric(RNG(seed), 10), 5
        d = np.zeros(n)
        for r in range(n):
            a, b = 2 * r, 2 * r + 1
            others = [(2 * s, 2 * s + 1) for s in range(n) if s != r]
            d[r] = np.mean([scores[a, x] + scores[a, y] - scores[b, x] - scores[b, y] for x, y in others])
        flips = np.array([np.mean(np.array(signs) * d) for signs in itertools.product([1, -1], repeat=n)])
        result = contrasted(scores, one_draw(n), RNG(0))
        assert result.difference == pytest.approx(d.mean())
        assert result.p == pytest.approx(np.mean(np.abs(flips) >= abs(d.mean()) - 1e-12))


def test_draws_are_averaged_within_replicates_first():
    # A has one draw, B two; only B's draws of r0 and r1 are alike
    items = Items(np.array([0, 0, 0, 1, 1, 1]), np.array([True, False, False] * 2))
    scores = np.zeros((6, 6))
    scores[1, 4] = scores[4, 1] = 8.0
    result = contrasted(scores, items, RNG(0))
    assert result.mean_b == 2.0  # 8 of four pairs of draws
    assert result.difference == -2.0
    assert smallest_p(items) == pytest.approx(1 / 9)


def test_single_subjects_are_paired_within_replicates():
    items = one_draw(4)
    result = contrasted(np.array([5.0, 1, 6, 4, 7, 4, 9, 2]), items, RNG(0))  # differences 4, 2, 3, 7
    assert result.difference == 4.0
    assert result.p == 2 / 16
    deviation = np.std([4, 2, 3, 7], ddof=1)
    assert result.effect == pytest.approx(4 / deviation)
    assert result.high - result.low == pytest.approx(2 * 3.182446305284263 * deviation / 2)


def test_every_way_of_dealing_comes_once_and_keeps_counts():
    items = Items(np.array([0, 1, 0, 1, 1]), np.array([True, True, False, False, False]))
    ways, complete = deals(items, RNG(0))
    assert complete
    assert len({way.tobytes() for way in ways}) == len(ways) == 2 * 3
    assert (ways[:, [0, 2]].sum(axis=1) == 1).all()
    assert (ways[:, [1, 3, 4]].sum(axis=1) == 1).all()
    assert any((way == items.in_a).all() for way in ways)


def test_many_replicates_are_sampled():
    items = one_draw(20)
    ways, complete = deals(items, RNG(0))
    assert not complete
    assert len(ways) == 2**14
    assert (ways[:, 0::2] ^ ways[:, 1::2]).all()
    assert ways.mean(axis=0) == pytest.approx(np.full(40, 0.5), abs=0.02)
    strong = np.where(items.in_a, 1.0, 0.0) + 0.01 * RNG(1).standard_normal(40)
    assert contrasted(strong, items, RNG(0)).p == pytest.approx(smallest_p(items)) == 1 / (2**14 + 1)


@pytest.mark.parametrize(("replicates", "smallest"), [(2, 0.5), (5, 1 / 16), (6, 1 / 32), (8, 1 / 128)])
def test_smallest_p_is_reached_by_the_clearest_case(replicates, smallest):
    items = one_draw(replicates)
    assert smallest_p(items) == smallest
    clear = np.outer(items.in_a, items.in_a).astype(float)
    assert contrasted(clear, items, RNG(0)).p == smallest


def test_p_is_exact_under_exchangeable_arms_with_dependent_pairs():
    """Scores are inner products with strong effects of subject and replicate, so that pairs depend."""
    rng, hits, trials, p_values = RNG(7), 0, 2000, []
    for _ in range(trials):
        points = rng.standard_normal((12, 3)) + np.repeat(rng.standard_normal((6, 3)), 2, axis=0)
        lengths = rng.standard_exponential(12)
        scores = np.exp(points @ points.T / 4) + lengths[:, None] + lengths[None, :]
        p_values.append(contrasted(scores, one_draw(6), rng).p)
    p = np.array(p_values)
    for level in (1 / 32, 4 / 32, 16 / 32):  # p comes in steps of 1/32, and each level is met exactly
        hits = np.mean(p <= level + 1e-9)
        assert hits == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / trials))


def test_counting_pairs_as_if_independent_would_be_wrong():
    """What the replicate-level test is for: a t-test over pairs rejects far too often in the same setting."""
    from scipy.stats import ttest_rel

    rng, rejected = RNG(3), []
    upper = np.triu_indices(6, 1)
    for _ in range(300):
        strength = rng.standard_normal(12)
        scores = strength[:, None] + strength[None, :]
        a, b = scores[0::2, 0::2][upper], scores[1::2, 1::2][upper]
        rejected.append((ttest_rel(a, b).pvalue <= 0.05, contrasted(scores, one_draw(6), rng).p <= 0.05))
    naive, over_replicates = np.mean(rejected, axis=0)
    assert naive > 0.15
    assert over_replicates <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


def test_one_sided_counts_one_tail():
    items = one_draw(4)
    scores = np.array([5.0, 1, 6, 4, 7, 4, 9, 2])  # differences 4, 2, 3, 7
    p = {side: contrasted(scores, items, RNG(0), side).p for side in ("greater", "less", "different")}
    assert p == {"greater": 1 / 16, "less": 1.0, "different": 2 / 16}
    assert smallest_p(items, "greater") == smallest_p(items, "less") == smallest_p(items, "same") == 1 / 16
    assert smallest_p(items, "different") == smallest_p(items) == 2 / 16


def test_a_margin_moves_every_difference_of_a_measure_of_one():
    items, scores = one_draw(3), np.array([1.0, 2, 5, 5, 4, 5])  # differences -1, 0, -1
    assert contrasted(scores, items, RNG(0), "greater").p == 1.0
    assert contrasted(scores, items, RNG(0), "greater", 1.5).p == 1 / 8
    assert contrasted(scores, items, RNG(0), "less", 1.5).p == 1 / 8
    assert contrasted(scores, items, RNG(0), "same", 1.5).p == 1 / 8
    assert (
        contrasted(scores, items, RNG(0), "same", 0.5).p
        == contrasted(scores, items, RNG(0), "greater", 0.5).p
    )
    moved = contrasted(scores, items, RNG(0), "greater", 1.5)
    assert moved.difference == pytest.approx(-2 / 3), "the estimate is not moved"


@pytest.mark.parametrize("side", ["greater", "less"])
def test_a_margin_moves_every_difference_of_pairs(side):
    """The d_r of the module's docstring, each moved by the margin, and their sign-flips written out."""
    sign = 1 if side == "greater" else -1
    for seed in range(5):
        scores, n, margin = symmetric(RNG(seed), 10), 5, 0.8
        d = np.zeros(n)
        for r in range(n):
            a, b = 2 * r, 2 * r + 1
            others = [(2 * s, 2 * s + 1) for s in range(n) if s != r]
            d[r] = np.mean([scores[a, x] + scores[a, y] - scores[b, x] - scores[b, y] for x, y in others])
        moved = sign * d + margin
        flips = np.array([np.mean(np.array(signs) * moved) for signs in itertools.product([1, -1], repeat=n)])
        p = contrasted(scores, one_draw(n), RNG(0), side, margin).p
        assert p == pytest.approx(np.mean(flips >= moved.mean() - 1e-12))


def test_one_sided_p_is_exact_under_exchangeable_arms_with_dependent_pairs():
    rng, trials, p_values = RNG(17), 1500, []
    for _ in range(trials):
        points = rng.standard_normal((12, 3)) + np.repeat(rng.standard_normal((6, 3)), 2, axis=0)
        scores = np.exp(points @ points.T / 4)
        p_values.append(contrasted(scores, one_draw(6), rng, "greater").p)
    for level in (1 / 64, 4 / 64, 16 / 64):
        hits = np.mean(np.array(p_values) <= level + 1e-9)
        assert hits == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / trials))


def test_arms_that_share_equally_much_but_not_the_same_are_not_said_to_differ():
    """Each arm's subjects have a direction in common; the two have nothing to do with each other."""
    rng, size, shared, times = RNG(5), 50, 0.7, 300
    items = one_draw(8)
    by_p, said = 0, 0
    for _ in range(times):
        common = rng.standard_normal((2, size))
        common *= math.sqrt(size) / np.linalg.norm(common, axis=1, keepdims=True)
        own = rng.standard_normal((16, size))
        features = math.sqrt(shared) * common[items.in_a.astype(int)] + math.sqrt(1 - shared) * own
        found = contrasted(features @ features.T / size, items, rng)
        by_p += found.p <= 0.05
        said += found.p <= 0.05 and clear(found)
    most = 0.05 * times + 3 * math.sqrt(0.05 * 0.95 * times)
    assert by_p > most  # the test alone would say so too often
    assert said <= most


def test_clear_asks_for_the_whole_interval():
    found = Contrasted(low=0.1, high=0.5)
    assert clear(found)
    assert clear(found, "greater")
    assert not clear(found, "less")
    assert clear(Contrasted(low=-0.5, high=-0.1))
    assert not clear(Contrasted(low=-0.1, high=0.5))
    assert clear(Contrasted(low=-0.1, high=0.5), "greater", 0.2)
    assert clear(found, "less", 0.6)
    assert clear(found, "same", 0.6)
    assert not clear(found, "same", 0.4)
    assert not clear(Contrasted())
