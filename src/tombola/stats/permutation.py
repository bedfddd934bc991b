"""The test of two arms over replicates: whole replicates swapped, and an interval beside it.

Pairs that share a replicate are not independent, so pairs are not what is counted. Let S(x, y) be what a measure says
of two subjects of different replicates; where an arm has several draws in a replicate, S is averaged over them first,
so that each replicate has one A and one B. For arms A and B and R replicates the contrast

    T = mean over pairs of replicates r != s of  h(r, s) = S(A_r, A_s) - S(B_r, B_s)

asks whether A's subjects are more like one another than B's are. Where A and B do not differ, the labels A and B of a
replicate can be swapped without changing anything; so the test recomputes T with the labels of whole replicates
swapped, in all 2^R ways, and p is the share of ways that give a |T| as large. It needs the cross pairs S(A_r, B_s),
which T itself does not show: T is the mean of

    d_r = mean over s != r of  S(A_r, A_s) + S(A_r, B_s) - S(B_r, A_s) - S(B_r, B_s)

(the labels of s do not matter to d_r, and swapping those of r turns its sign), so this is the sign-flip test of the
d_r. For a measure of one subject S is its value alone, d_r = S(A_r) - S(B_r), and the test is the paired sign-flip
test. It is exact for every R where A_r and B_r can be swapped, which takes as many draws of both: of one draw against
the mean of three, differences of skewed values are not symmetric about zero, and a one-sided test at 5% errs in 7% (R
= 5) to 11% (R = 8).

One-sided, p is the share of ways that give a T as large (or as small). With a margin, A is held against B moved by
it: T and every d_r grow by it. "Not worse by more than the margin" is `greater` with a margin, and `same` is both
sides of it, the larger p of the two (two one-sided tests; Schuirmann 1987).

What swapping refutes for pairs is that A and B are alike in every way. Two arms that are equally alike within, each
in a way of its own, are not: swapping mixes what they share, so that the T that was seen stands out too often (5 to
12% at a level of 5% one-sided). So p of pairs is the larger one of two: that of swapping, and that of T by its
standard error.

T is a U-statistic of two, and its jackknife takes the noise of pairs twice (Efron & Stein 1981). With g_r the mean of
h(r, s) over s, and v the variance of what is left of h(r, s) beside g_r and g_s (over R (R - 3) / 2 degrees of
freedom),

    variance of T = 4 ((R - 1) / (R - 2))^2 var(g) / R  -  2 v / ((R - 1) (R - 2)),   and at least 2 v / (R (R - 1)),

which has no bias where h(r, s) is a sum of something of r, of s and of the pair; three replicates leave nothing to
know v by, and keep the jackknife's. The interval is t's with R - 1 degrees of freedom. What it covers, and how often
`greater` is said at 5% (in brackets: by swapping alone), of 3,000 simulations each (`make deep` simulates it anew):

    R                                        5                      8                      12
    nothing shared                 0.99   1.0% (3.4)      0.98   1.5% (5.1)      0.98   1.7% (4.8)
    equally alike                  0.95   2.1% (4.8)      0.93   4.3% (9.7)      0.94   5.5% (11.0)
    A more alike                   0.96  12.3% (15.7)     0.94  32.3% (35.9)     0.94  52.2% (55.4)
    only A alike                   0.97  78.9% (85.6)     0.95  99.9% (100)      0.94   100% (100)

Where nothing at all is shared it covers more than 95%, since no variance may be below that of the noise of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tombola.stats.intervals import FEWEST, half_width

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
Direction = Literal["greater", "less", "different", "same"]
"""What is asked of A - B: above -margin, below the margin, not zero (without a margin), within the margin."""

PART = 1_000_000
"""Swaps that are drawn in one go."""
WAYS = 2**14
"""Up to so many ways of swapping are gone through one by one; of more, so many are drawn."""
ROUNDING = 1e-12
"""Contrasts closer than this, as a share of the largest score, are equal."""


@dataclass(frozen=True)
class Grouping:
    """The subjects of a contrast, A's and B's: for each its replicate (0, 1, ...) and whether it is A's."""

    replicate: NDArray[np.intp]
    in_a: Bits

    @property
    def replicates(self) -> int:
        """How many replicates there are."""
        return int(self.replicate.max(initial=-1)) + 1

    def draws(self) -> tuple[float, float]:
        """How many draws A and B have, on average over replicates."""
        return float(self.in_a.sum()) / self.replicates, float((~self.in_a).sum()) / self.replicates

    def means(self, in_a: bool) -> Floats:
        """[replicates, items]: what takes the mean over an arm's draws in each replicate."""
        chosen = (self.in_a == in_a) & (self.replicate == np.arange(self.replicates)[:, None])
        return np.asarray(chosen / chosen.sum(axis=1, keepdims=True))


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
    items: Grouping,
    rng: np.random.Generator,
    direction: Direction = "different",
    margin: float = 0.0,
) -> Contrasted:
    """Test A against B, given the scores [items, items] of pairs or [items] of single subjects.

    `p` is that of the direction and margin; nothing else depends on them. `effect` is the difference in standard errors
    times the root of the replicates (for a measure of one subject: in standard deviations of the paired differences).
    Scores within a replicate are not read. Three replicates are the least for an interval; pairs of two have the p of
    swapping alone.
    """
    count = items.replicates
    if count < scores.ndim:
        return Contrasted()
    mean_a, mean_b, differences, error = (_of_one if scores.ndim == 1 else _of_pairs)(scores, items)
    seen, scale = mean_a - mean_b, float(np.abs(scores).max())
    p = by_swapping(differences, rng, direction, margin, scale)
    if error is None:
        return Contrasted(mean_a, mean_b, seen, p=p)
    error = error if error > ROUNDING * scale else 0.0
    if scores.ndim == 2:
        p = max(p, by_t(seen, error, count, direction, margin))
    half = half_width(count, error * math.sqrt(count))
    assert half is not None  # an error is known of no fewer than an interval takes
    effect = seen / (error * math.sqrt(count)) if error else None
    return Contrasted(mean_a, mean_b, seen, seen - half, seen + half, effect, p)


class HasInterval(Protocol):
    """What has a 95% interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def clear(found: HasInterval, direction: Direction = "different", margin: float = 0.0) -> bool:
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


def against(found: HasInterval, direction: Direction, margin: float = 0.0) -> bool:
    """Whether the whole interval lies where the opposite of what was claimed does."""
    return any(clear(found, other, bound) for other, bound in opposites(direction, margin))


def smallest_p(replicates: int, direction: Direction = "different") -> float:
    """The smallest p that swapping so many replicates can give, however many draws they have: 1/2^R, and 2/2^R for
    `different`, since swapping all of them turns T's sign and no more. Of drawn ways, one more than is drawn."""
    ways = 2**replicates
    return min((1 + (direction == "different")) / ways if ways <= WAYS else 1 / (1 + WAYS), 1.0)


def by_swapping(
    differences: Floats,
    rng: np.random.Generator,
    direction: Direction,
    margin: float = 0.0,
    scale: float | None = None,
) -> float:
    """p of the sign-flip test of differences, one a replicate. `scale` is the size of what they were taken of, by which
    rounding is told from a difference; their own where left out."""
    scale = float(np.abs(differences).max()) if scale is None else scale
    sides: tuple[Direction, ...] = ("greater", "less") if direction == "same" else (direction,)
    margins = {"greater": margin, "less": -margin, "different": 0.0}
    moved = np.stack([differences + margins[side] for side in sides], axis=1)
    found = _towards(moved.mean(axis=0), sides) - ROUNDING * max(scale, abs(margin))
    ways, as_far = 0, np.zeros(len(sides), dtype=np.int64)
    for turns in swaps(len(differences), rng):
        ways += len(turns)
        as_far += (_towards(turns @ moved / len(moved), sides) >= found).sum(axis=0)
    most = int(as_far.max())
    return most / ways if ways == 2 ** len(differences) else (1 + most) / (1 + ways)


def _towards(means: Floats, sides: Sequence[Direction]) -> Floats:
    """Means [..., sides], the greater the further they lie on their side."""
    signs = np.array([-1.0 if side == "less" else 1.0 for side in sides])
    return np.abs(means) if "different" in sides else means * signs


def by_t(
    difference: float, error: float, replicates: int, direction: Direction, margin: float = 0.0
) -> float:
    """p of a difference by its standard error, from Student's t with replicates - 1 degrees of freedom. An error of
    zero makes it 0 or 1."""
    from scipy.special import stdtr  # here, where it is needed: most of what reads statistics needs none

    def above(value: float) -> float:
        return float(stdtr(replicates - 1, -value / error)) if error else float(value <= 0)

    greater, less = above(difference + margin), above(margin - difference)
    two_sided = min(2 * min(greater, less), 1.0)  # without a margin
    return {"greater": greater, "less": less, "same": max(greater, less), "different": two_sided}[direction]


def swaps(replicates: int, rng: np.random.Generator) -> Iterator[Floats]:
    """1 or -1 for each replicate, not swapped or swapped, in each way, in parts [ways, replicates]: 2^R ways where that
    is no more than `WAYS`, that in which none is swapped first, else `WAYS` drawn at random."""
    if 2**replicates <= WAYS:
        bits = np.arange(2**replicates)[:, None] >> np.arange(replicates) & 1
        yield np.asarray(1.0 - 2.0 * bits, np.float64)
        return
    for some in np.array_split(
        np.arange(WAYS), max(1, WAYS * replicates // PART)
    ):  # all take too much memory
        yield np.asarray(1.0 - 2.0 * rng.integers(0, 2, (len(some), replicates)), np.float64)


Parts = tuple[float, float, Floats, float | None]
"""Means of A and B, the d_r, and the standard error of the difference, None where there are too few replicates."""


def _of_one(scores: Floats, items: Grouping) -> Parts:
    a, b = (items.means(side) @ scores for side in (True, False))
    differences = a - b
    n = len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(n) if n >= FEWEST else None
    return float(a.mean()), float(b.mean()), differences, error


def _of_pairs(scores: Floats, items: Grouping) -> Parts:
    a, b = items.means(True), items.means(False)
    n = items.replicates

    def between(x: Floats, y: Floats) -> Floats:
        """[replicates, replicates], 0 on the diagonal: within a replicate nothing is read."""
        apart = items.replicate[:, None] != items.replicate[None, :]
        return np.asarray(x @ np.where(apart, scores, 0.0) @ y.T)

    aa, bb, ab = between(a, a), between(b, b), between(a, b)
    kernel, cross = aa - bb, ab - ab.T
    pairs = n * (n - 1)
    differences = (kernel + cross).sum(axis=1) / (n - 1)
    return float(aa.sum() / pairs), float(bb.sum() / pairs), differences, _error_of_pairs(kernel)


def _error_of_pairs(kernel: Floats) -> float | None:
    """The standard error of the mean of h(r, s) over pairs, see the module; None for fewer than three replicates."""
    n = len(kernel)
    if n < FEWEST:
        return None
    rows = kernel.sum(axis=1) / (n - 1)
    jackknife = 4 * ((n - 1) / (n - 2)) ** 2 * float(rows.var(ddof=1)) / n
    if n == FEWEST:
        return math.sqrt(jackknife)
    own = (rows - rows.mean()) * (n - 1) / (n - 2)
    left = kernel - rows.mean() - own[:, None] - own[None, :]
    of_pair = float((left[np.triu_indices(n, 1)] ** 2).sum()) / (n * (n - 3) / 2)
    return math.sqrt(max(jackknife - 2 * of_pair / ((n - 1) * (n - 2)), 2 * of_pair / (n * (n - 1))))
