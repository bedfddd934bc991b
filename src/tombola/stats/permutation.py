"""The test of two arms over replicates: labels dealt anew within replicates, and the jackknife's interval.

Pairs that share a replicate are not independent, so pairs are not what is counted. Let S(x, y) be what a
measure says of two subjects of different replicates. For arms A and B and R replicates the contrast

    T = mean over pairs of replicates r != s of  S(A_r, A_s) - S(B_r, B_s)

asks whether A's subjects are more like one another than B's are. Where A and B do not differ, the labels A and
B of a replicate can be swapped without changing anything; so the test recomputes T with the labels of whole
replicates swapped, in all 2^R ways, and p is the share of ways that give a |T| as large. It is exact for every
R, whatever the dependence among pairs. It needs the cross pairs S(A_r, B_s), which T itself does not show. With
one draw an arm, T is the mean of

    d_r = mean over s != r of  S(A_r, A_s) + S(A_r, B_s) - S(B_r, A_s) - S(B_r, B_s)

(the labels of s do not matter to d_r, and swapping those of r turns its sign), so this is the sign-flip test of
the d_r. With more draws the labels are dealt anew among all draws of a replicate. For a measure of one subject
S is its value alone, and the test is the paired sign-flip test.

One-sided, p is the share of ways that give a T as large (or as small). With a margin, A is held against B moved by
it: S grows by half of it for each of its subjects that is A's (by all of it where S is of one subject), so that T
and every d_r grow by it. "Not worse by more than the margin" is `greater` with a margin, and `same` is both sides
of it, the larger p of the two (two one-sided tests; Schuirmann 1987).

What the test of pairs refutes is that A and B are alike in every way. Two arms that are equally alike within, each in
a way of its own, are not: dealing mixes what they share, so that the T that was seen stands out too often (16% at a
level of 5% in the tests' worst case). So arms are said to differ only where the interval agrees; see `clear`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tombola.stats.intervals import interval

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
Direction = Literal["greater", "less", "different", "same"]
"""What is asked of A - B: above -margin, below the margin, not zero (without a margin), within the margin."""

WAYS = 2**14
"""Up to so many ways of dealing the labels are gone through one by one; of more, so many are drawn."""
ROUNDING = 1e-12
"""Contrasts closer than this, as a share of the largest score, are equal."""


@dataclass(frozen=True)
class Items:
    """The subjects of a contrast, A's and B's: for each its replicate (0, 1, ...) and whether it is A's."""

    replicate: NDArray[np.intp]
    in_a: Bits

    @property
    def replicates(self) -> int:
        """How many replicates there are."""
        return int(self.replicate.max(initial=-1)) + 1

    def per_replicate(self, chosen: Bits) -> NDArray[np.intp]:
        """How many of the chosen items each replicate has."""
        return np.bincount(self.replicate[chosen], minlength=self.replicates)


@dataclass(frozen=True)
class Contrasted:
    """The contrast's parts, its 95% interval, effect size and p; None where there are too few replicates."""

    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    effect: float | None = None
    p: float | None = None


def contrasted(
    scores: Floats,
    items: Items,
    rng: np.random.Generator,
    direction: Direction = "different",
    margin: float = 0.0,
) -> Contrasted:
    """Test A against B, given the scores [items, items] of pairs or [items] of single subjects.

    `p` is that of the direction and margin; nothing else depends on them. `effect` is the difference in standard
    deviations of the jackknife's pseudo-values (for a measure of one subject: of the paired differences). Scores
    within a replicate are not read.
    """
    count = items.replicates
    if count < scores.ndim:
        return Contrasted()
    mean_a, mean_b = (float(_means(scores, items, chosen[None])[0]) for chosen in (items.in_a, ~items.in_a))
    seen = mean_a - mean_b
    ways, complete = deals(items, rng)
    sides: tuple[Direction, ...] = ("greater", "less") if direction == "same" else (direction,)
    as_far = max(_as_far(scores, items, ways, side, margin) for side in sides)
    p = as_far / len(ways) if complete else (1 + as_far) / (1 + len(ways))
    return Contrasted(mean_a, mean_b, seen, *_interval(scores, items, seen), p)


def clear(found: Contrasted, direction: Direction = "different", margin: float = 0.0) -> bool:
    """Whether the whole interval lies where the direction says."""
    if found.low is None or found.high is None:
        return False
    above, below = found.low > -margin, found.high < margin
    if direction == "different":
        return found.low > 0 or found.high < 0
    return {"greater": above, "less": below, "same": above and below}[direction]


def opposites(direction: Direction, margin: float = 0.0) -> tuple[tuple[Direction, float], ...]:
    """The opposite of a claim, as directions with margins: of `greater` than -margin `less` than that, and likewise the
    other way; of `same` either side outside the margin; of `different` nothing, since to be the same takes a margin."""
    return {
        "greater": (("less", -margin),),
        "less": (("greater", -margin),),
        "same": (("less", -margin), ("greater", -margin)),
        "different": (),
    }[direction]  # type: ignore[return-value]  # mypy widens the literals


def against(found: Contrasted, direction: Direction, margin: float = 0.0) -> bool:
    """Whether the whole interval lies where the opposite of what was claimed does."""
    return any(clear(found, other, bound) for other, bound in opposites(direction, margin))


def smallest_p(items: Items, direction: Direction = "different") -> float:
    """The smallest p that the test can give for so many replicates and draws.

    Where A and B have equally many draws in every replicate, dealing all labels the other way round turns T's
    sign and no more, so two ways at least are as far from zero as any.
    """
    a, b = items.per_replicate(items.in_a), items.per_replicate(~items.in_a)
    ways = math.prod(math.comb(int(both), int(one)) for one, both in zip(a, a + b, strict=True))
    symmetric = direction == "different" and bool(len(a)) and bool((a == b).all())
    return min((1 + symmetric) / ways if ways <= WAYS else 1 / (1 + WAYS), 1.0)


def deals(items: Items, rng: np.random.Generator) -> tuple[Bits, bool]:
    """Which items are labelled A, in each way of dealing the labels [ways, items]; and whether these are all.

    All of them, the one that was seen among them, or `WAYS` drawn at random.
    """
    groups = [np.flatnonzero(items.replicate == r) for r in range(items.replicates)]
    sizes = items.per_replicate(items.in_a)
    count = math.prod(math.comb(len(group), int(size)) for group, size in zip(groups, sizes, strict=True))
    ways = np.zeros((min(count, WAYS), len(items.in_a)), dtype=bool)
    if count <= WAYS:
        hands = (itertools.combinations(group, int(size)) for group, size in zip(groups, sizes, strict=True))
        for way, dealt in zip(ways, itertools.product(*hands), strict=True):
            way[[item for hand in dealt for item in hand]] = True
        return ways, True
    for group, size in zip(groups, sizes, strict=True):
        ranks = rng.permuted(np.tile(np.arange(len(group)), (len(ways), 1)), axis=1)
        ways[:, group] = ranks < size
    return ways, False


def _as_far(scores: Floats, items: Items, ways: Bits, direction: Direction, margin: float) -> int:
    """How many of the ways give a contrast as far in the direction as the labels that were seen."""
    shift = (margin if direction == "greater" else -margin) * items.in_a
    moved = scores + (shift if scores.ndim == 1 else (shift[:, None] + shift[None, :]) / 2)
    chosen = np.concatenate([items.in_a[None], ways])
    contrasts = _means(moved, items, chosen) - _means(moved, items, ~chosen)
    far = {"greater": contrasts, "less": -contrasts, "different": np.abs(contrasts)}[direction]
    return int(np.sum(far[1:] >= far[0] - ROUNDING * np.abs(moved).max()))


def _means(scores: Floats, items: Items, chosen: Bits) -> Floats:
    """The mean score of the chosen items [ways, items], draws averaged within their replicate first.

    Over pairs of different replicates where scores are of pairs.
    """
    count = items.replicates
    weights = chosen / items.per_replicate(chosen[0])[items.replicate]
    if scores.ndim == 1:
        return np.asarray(weights @ scores / count)
    between = np.where(items.replicate[:, None] == items.replicate[None, :], 0.0, scores)
    return np.asarray(((weights @ between) * weights).sum(axis=1) / (count * (count - 1)))


def _interval(scores: Floats, items: Items, seen: float) -> tuple[float | None, float | None, float | None]:
    """95% limits and effect size from the jackknife over replicates (T is a U-statistic, or a mean).

    Two replicates have an effect size at most, and no limits.
    """
    count = items.replicates
    if count - 1 < scores.ndim:
        return None, None, None
    left_out = np.array([_without(scores, items, r) for r in range(count)])
    pseudo = count * seen - (count - 1) * left_out
    deviation = float(pseudo.std(ddof=1))
    effect = seen / deviation if deviation > ROUNDING * np.abs(scores).max() else None
    return (*interval(seen, deviation, count), effect)


def _without(scores: Floats, items: Items, replicate: int) -> float:
    """The contrast without one replicate."""
    kept = items.replicate != replicate
    fewer = Items(items.replicate[kept] - (items.replicate[kept] > replicate), items.in_a[kept])
    few = scores[kept] if scores.ndim == 1 else scores[np.ix_(kept, kept)]
    mean_a, mean_b = (_means(few, fewer, chosen[None])[0] for chosen in (fewer.in_a, ~fewer.in_a))
    return float(mean_a - mean_b)
