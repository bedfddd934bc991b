"""The test over replicates: its statistic by hand, all ways of swapping them, exactness by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tombola.stats.permutation import (
    WAYS,
    Contrasted,
    Grouping,
    by_swapping,
    clear,
    contrasted,
    smallest_p,
    swaps,
)

RNG = np.random.default_rng


def one_draw(replicates: int) -> Grouping:
    """A then B of each replicate."""
    return Grouping(np.repeat(np.arange(replicates), 2), np.tile([True, False], replicates))


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
    # h is 2, 4, 3 of the pairs 01, 02, 12, so g = 3, 2.5, 3.5, whose variance is 0.25; three replicates leave nothing
    # to know the noise of pairs by: the variance of T is 4 (2 / 1)^2 0.25 / 3 = 4 / 3, as the jackknife says
    margin = 4.302652729911275 * 2 / 3**0.5  # t of 2 degrees of freedom
    assert (result.low, result.high) == pytest.approx((3 - margin, 3 + margin))
    assert result.effect == pytest.approx(3 / 2)


def kernel_of(h: dict[tuple[int, int], float]) -> np.ndarray:
    """Scores of four replicates, A0 B0 A1 B1 ..., whose A's score h and whose other pairs nothing."""
    scores = np.zeros((8, 8))
    for (r, s), value in h.items():
        scores[2 * r, 2 * s] = scores[2 * s, 2 * r] = value
    return scores


def test_the_noise_of_pairs_is_not_taken_twice():
    """h(r, s) = own of r + own of s + something of the pair: the variance of T by hand."""
    own, of_pair = [1.0, 2.0, 4.0, 5.0], {(0, 1): 0.5, (2, 3): 0.5, (0, 2): -0.5, (1, 3): -0.5}
    h = {(r, s): own[r] + own[s] + of_pair.get((r, s), 0.0) for r in range(4) for s in range(r)} | {
        (r, s): own[r] + own[s] + of_pair.get((r, s), 0.0) for r in range(4) for s in range(r + 1, 4)
    }
    h = {pair: value for pair, value in h.items() if pair[0] < pair[1]}
    result = contrasted(kernel_of(h), one_draw(4), RNG(0))
    # What is of pairs sums to 0 in every replicate, so g - T is 2/3 of own - 3: -4/3, -2/3, 2/3, 4/3, variance 40/27;
    # v = 4 * 0.25 over 4 * 1 / 2 = 2 degrees of freedom = 0.5.
    variance = 4 * (3 / 2) ** 2 * (40 / 27) / 4 - 2 * 0.5 / (3 * 2)
    half = 3.182446305284263 * variance**0.5  # t of 3
    assert result.difference == 6.0
    assert (result.low, result.high) == pytest.approx((6 - half, 6 + half))
    # Without anything of its own in a replicate, it is 2 v / (4 * 3), not the difference, which is below 0.
    alone = contrasted(kernel_of({pair: 6.0 + value for pair, value in of_pair.items()} | {(0, 3): 6.0, (1, 2): 6.0}),
                       one_draw(4), RNG(0))  # fmt: skip
    half = 3.182446305284263 * (2 * 0.5 / 12) ** 0.5
    assert (alone.low, alone.high) == pytest.approx((6 - half, 6 + half))


def test_p_of_pairs_is_the_larger_of_swapping_and_t():
    from scipy.stats import t

    noise = {(0, 1): 5.0, (2, 3): 5.0, (0, 2): -5.0, (1, 3): -5.0}
    scores = kernel_of({(r, s): 6.0 + noise.get((r, s), 0.0) for r in range(4) for s in range(r + 1, 4)})
    found = contrasted(scores, one_draw(4), RNG(0), "greater")
    error = (2 * 50 / 12) ** 0.5  # v = 4 * 25 / 2
    assert found.p == pytest.approx(
        t.sf(6 / error, 3)
    )  # 0.065; all d_r are above 0, so that swapping gives 1 / 16
    assert found.p > smallest_p(4, "greater") == 1 / 16
    moved = contrasted(scores, one_draw(4), RNG(0), "greater", 20.0)
    assert moved.p == 1 / 16, "t knows of the margin as well"


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
        swapped = np.mean(np.abs(flips) >= abs(d.mean()) - 1e-12)
        assert by_swapping(d, RNG(0), "different") == pytest.approx(swapped)
        assert result.p >= swapped - 1e-12


def test_draws_are_averaged_within_replicates_first():
    # A has one draw, B two; only B's draws of r0 and r1 are alike
    items = Grouping(np.array([0, 0, 0, 1, 1, 1]), np.array([True, False, False] * 2))
    scores = np.zeros((6, 6))
    scores[1, 4] = scores[4, 1] = 8.0
    result = contrasted(scores, items, RNG(0))
    assert result.mean_b == 2.0  # 8 of four pairs of draws
    assert result.difference == -2.0
    assert items.draws() == (1, 2)


@pytest.mark.parametrize("pairs", [True, False])
def test_draws_are_no_replicates(pairs):
    """Two replicates of three draws each have 2^2 ways, whatever the draws; and the p of their means."""
    items = Grouping(np.repeat([0, 1], 6), np.tile([True] * 3 + [False] * 3, 2))
    scores = np.where(items.in_a, 1.0, 0.0) + 0.1 * RNG(0).standard_normal(12)
    if pairs:
        scores = np.add.outer(scores, scores)
    found = contrasted(scores, items, RNG(0), "greater")
    assert found.p == smallest_p(2, "greater") == 1 / 4
    assert contrasted(scores, items, RNG(0)).p == smallest_p(2) == 2 / 4


def test_single_subjects_are_paired_within_replicates():
    items = one_draw(4)
    result = contrasted(np.array([5.0, 1, 6, 4, 7, 4, 9, 2]), items, RNG(0))  # differences 4, 2, 3, 7
    assert result.difference == 4.0
    assert result.p == 2 / 16
    deviation = np.std([4, 2, 3, 7], ddof=1)
    assert result.effect == pytest.approx(4 / deviation)
    assert result.high - result.low == pytest.approx(2 * 3.182446305284263 * deviation / 2)


def test_every_way_of_swapping_comes_once():
    [turns] = swaps(4, RNG(0))
    assert len({way.tobytes() for way in turns}) == len(turns) == 2**4
    assert (turns[0] == 1).all()


def test_many_replicates_are_sampled():
    turns = np.concatenate([*swaps(20, RNG(0))])
    assert turns.shape == (2**14, 20)
    assert turns.mean(axis=0) == pytest.approx(np.zeros(20), abs=0.04)
    items = one_draw(20)
    strong = np.where(items.in_a, 1.0, 0.0) + 0.01 * RNG(1).standard_normal(40)
    assert contrasted(strong, items, RNG(0)).p == pytest.approx(smallest_p(20)) == 1 / (2**14 + 1)


def test_swaps_drawn_in_parts_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rng = 1.0 - 2.0 * RNG(0).integers(0, 2, (WAYS, 20)), RNG(0)
    monkeypatch.setattr("tombola.stats.permutation.PART", 777)
    parts = [*swaps(20, rng)]
    assert len(parts) > 1
    assert (np.concatenate(parts) == whole).all()
    used = RNG(0)
    used.integers(0, 2, (WAYS, 20))
    assert rng.random() == used.random()


@pytest.mark.parametrize(("replicates", "smallest"), [(2, 0.5), (5, 1 / 16), (6, 1 / 32), (8, 1 / 128)])
def test_smallest_p_is_reached_by_the_clearest_case(replicates, smallest):
    items = one_draw(replicates)
    assert smallest_p(replicates) == smallest
    clear = np.outer(items.in_a, items.in_a).astype(float)
    assert contrasted(clear, items, RNG(0)).p == smallest


def test_p_is_exact_under_exchangeable_arms_with_dependent_pairs():
    """Scores are inner products with strong effects of subject and replicate, so that pairs depend."""
    rng, trials, p_values = RNG(7), 1000, []
    for _ in range(trials):
        points = rng.standard_normal((12, 3)) + np.repeat(rng.standard_normal((6, 3)), 2, axis=0)
        lengths = rng.standard_exponential(12)
        scores = np.exp(points @ points.T / 4) + lengths[:, None] + lengths[None, :]
        d = of_replicates(scores)
        p_values.append((by_swapping(d, rng, "different"), by_swapping(d, rng, "greater")))
    two, one = np.array(p_values).T
    for p, steps in ((two, 32), (one, 64)):
        for level in (1 / steps, 4 / steps, 16 / steps):  # p comes in steps, and each level is met exactly
            hits = np.mean(p <= level + 1e-9)
            assert hits == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / trials))


def of_replicates(scores: np.ndarray) -> np.ndarray:
    """The d_r of the module's docstring, one draw an arm."""
    n = len(scores) // 2
    a, b = scores[0::2], scores[1::2]
    each = (a - b)[:, 0::2] + (a - b)[:, 1::2]
    return (each.sum(axis=1) - np.diag(each)) / (n - 1)


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
    assert smallest_p(4, "greater") == smallest_p(4, "less") == smallest_p(4, "same") == 1 / 16
    assert smallest_p(4, "different") == smallest_p(4) == 2 / 16


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
        swapped = np.mean(flips >= moved.mean() - 1e-12)
        assert by_swapping(d, RNG(0), side, margin) == pytest.approx(swapped)
        assert contrasted(scores, one_draw(n), RNG(0), side, margin).p >= swapped - 1e-12


def equally_alike(rng: np.random.Generator, n: int, shared: float) -> np.ndarray:
    """Each arm's subjects have a direction in common; the two have nothing to do with each other."""
    size, in_a = 50, one_draw(n).in_a
    common = rng.standard_normal((2, size))
    common *= math.sqrt(size) / np.linalg.norm(common, axis=1, keepdims=True)
    features = math.sqrt(shared) * common[in_a.astype(int)]
    features = features + math.sqrt(1 - shared) * rng.standard_normal((2 * n, size))
    return features @ features.T / size


def test_arms_that_share_equally_much_but_not_the_same_are_not_said_to_differ():
    rng, times, n = RNG(5), 500, 12
    by_swaps, said = 0, 0
    for _ in range(times):
        scores = equally_alike(rng, n, 0.7)
        found = contrasted(scores, one_draw(n), rng, "greater")
        by_swaps += by_swapping(of_replicates(scores), rng, "greater") <= 0.05
        said += found.p <= 0.05
    most = 0.05 * times + 3 * math.sqrt(0.05 * 0.95 * times)
    assert by_swaps > most  # swapping alone would say so too often
    assert said <= most
    assert said >= 0.02 * times, "and it is not far too strict"


def alike(rng: np.random.Generator, n: int, a: float, b: float) -> np.ndarray:
    """Shares a and b of A's and B's subjects are one and the same; the mean of T is a - b."""
    size, in_a = 50, one_draw(n).in_a
    common = rng.standard_normal(size)
    common *= math.sqrt(size) / np.linalg.norm(common)
    share = np.where(in_a, a, b)[:, None]
    features = np.sqrt(share) * common + np.sqrt(1 - share) * rng.standard_normal((2 * n, size))
    return features @ features.T / size


CASES = {  # what is drawn, and the mean of T
    "nothing shared": (lambda rng, n: alike(rng, n, 0.0, 0.0), 0.0),
    "equally alike": (lambda rng, n: equally_alike(rng, n, 0.3), 0.0),
    "more alike": (lambda rng, n: alike(rng, n, 0.3, 0.2), 0.1),
    "only one alike": (lambda rng, n: alike(rng, n, 0.3, 0.0), 0.3),
}


def covered(case: str, n: int, times: int, seed: int) -> tuple[float, float, float]:
    """How often the interval holds the truth; how often `greater` is said at 5%, and by swapping alone."""
    draw, truth = CASES[case]
    rng, counts = RNG(seed), np.zeros(3)
    for _ in range(times):
        scores = draw(rng, n)
        found = contrasted(scores, one_draw(n), rng, "greater")
        swapped = by_swapping(of_replicates(scores), rng, "greater")
        counts += (found.low <= truth <= found.high, found.p <= 0.05, swapped <= 0.05)
    return tuple(counts / times)


@pytest.mark.parametrize("case", ["equally alike", "only one alike"])
def test_the_interval_of_pairs_covers_and_has_power(case):
    cover, said, swapped = covered(case, 8, 300, 1)
    error = 3 * math.sqrt(0.05 * 0.95 / 300)
    assert 0.94 - error <= cover <= 0.98 + error / 2
    if case == "only one alike":
        assert said >= swapped - 0.05


@pytest.mark.deep
@pytest.mark.parametrize("n", [5, 8, 12])
@pytest.mark.parametrize("case", CASES)
def test_the_interval_of_pairs_covers_about_95_percent(case, n):
    """Never far below; above where nothing is shared, since no variance is below that of pairs alone."""
    times = 3000
    cover, said, swapped = covered(case, n, times, n)
    print(f"{case}, n = {n}: covers {cover:.3f}, says greater in {said:.3f}, by swapping alone {swapped:.3f}")
    error = 3 * math.sqrt(0.05 * 0.95 / times)
    assert 0.935 - error <= cover <= 0.995
    if CASES[case][1] == 0:
        assert said <= 0.05 + error
    else:
        assert said >= swapped - 0.12


def skewed(rng: np.random.Generator, n: int, draws: tuple[int, int]) -> tuple[np.ndarray, Grouping]:
    """Scores of single subjects from log-normals, where no arm is better; an arm's draws share what is its own in their
    replicate, unless they are not equally many."""
    a, b = draws
    items = Grouping(np.repeat(np.arange(n), a + b), np.tile([True] * a + [False] * b, n))
    own = rng.lognormal(size=(n, 2)) * (a == b)
    return rng.lognormal(size=len(items.in_a)) + 2 * own[items.replicate, items.in_a.astype(int)], items


def errs(n: int, draws: tuple[int, int], times: int, seed: int) -> float:
    rng = RNG(seed)
    return float(np.mean([contrasted(*skewed(rng, n, draws), rng, "less").p <= 0.05 for _ in range(times)]))


@pytest.mark.parametrize(("n", "draws"), [(5, (3, 3)), (6, (2, 2))])
def test_several_draws_of_skewed_values_err_at_their_level(n, draws):
    level = math.floor(0.05 * 2**n) / 2**n  # the steps that p comes in
    assert errs(n, draws, 1000, 3) == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 1000))


@pytest.mark.deep
@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("draws", [(1, 1), (2, 2), (3, 3), (1, 3)])
def test_swapping_errs_at_its_level(n, draws):
    """Exact for as many draws of both; for one against three on skewed values it is not, as the docstring says."""
    level, times = math.floor(0.05 * 2**n) / 2**n, 10_000
    found = errs(n, draws, times, n)
    print(f"{n} replicates of {draws} draws: errs in {found:.4f} at {level:.4f}")
    if draws == (1, 3):
        assert level - 0.01 <= found <= 0.12
    else:
        assert found == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / times) + 1e-12)


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
