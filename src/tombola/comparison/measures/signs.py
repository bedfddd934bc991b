"""Signs of two tickets, or of one before and after training. A weight of exactly zero has no sign."""

from __future__ import annotations

from functools import partial

import numpy as np

from tombola.comparison.measures.base import (
    COIN,
    MEASURES,
    TABLE,
    Additive,
    Counts,
    Layer,
    Measure,
    quotient,
    signs,
)


def table(a: Layer, b: Layer) -> Counts:
    """(common survivors, positive in a, positive in b, positive in both)."""
    common = (a != 0) & (b != 0)
    up, too = (a > 0) & common, (b > 0) & common
    return np.array([np.count_nonzero(places) for places in (common, up, too, up & too)], np.float64)


def agreement(counts: Counts) -> Counts:
    """Common survivors of the same sign, of all common survivors.

    In closed form its chance is given the signs that b has on the common survivors, in random order there (a
    hypergeometric count); the drawn null `sign-shuffle` puts the signs of all of b's survivors in random order, so that
    the number of positive ones among the common survivors varies as well. So it is for kappa and for `flips`.
    """
    common, a, b, both = counts
    return quotient(common - a - b + 2 * both, common)


def disagreement(counts: Counts) -> Counts:
    """Common survivors of opposite signs, of all common survivors."""
    return 1 - agreement(counts)


def kappa(counts: Counts) -> Counts:
    """Agreement beyond that of the two shares of positive weights, of what is possible beyond it.

    NaN where one sign is all there is in both: there is nothing beyond to reach.
    """
    common, a, b, _ = counts
    by_shares = quotient(a * b + (common - a) * (common - b), common**2)
    return quotient(agreement(counts) - by_shares, 1 - by_shares)


def ternary_table(a: Layer, b: Layer) -> Counts:
    """(living with the same sign in both, living with opposite signs, living in either)."""
    same = np.count_nonzero((a == b) & (a != 0))
    opposite = np.count_nonzero((a == -b) & (a != 0))
    return np.array([same, opposite, np.count_nonzero((a != 0) | (b != 0))], np.float64)


def ternary_agreement(counts: Counts) -> Counts:
    """Living with the same sign in both, of those that live in either."""
    same, _, either = counts
    return quotient(same, either)


def signed_similarity(counts: Counts) -> Counts:
    """Same signs minus opposite signs, of those that live in either: 1 for equal, -1 for opposite ones."""
    same, opposite, either = counts
    return quotient(same - opposite, either)


def shuffled_ternary(a: Layer, b: Layer, n: int, rng: np.random.Generator) -> Counts:
    """Tables [3, n] of a and of b with its weights at random places of the layer, each drawn by how many of b's
    positive weights, and then of its negative ones, fall on a's positive and on its negative ones."""
    up, down = np.count_nonzero(a > 0), np.count_nonzero(a < 0)
    up_b, down_b = np.count_nonzero(b > 0), np.count_nonzero(b < 0)
    up_up = rng.hypergeometric(up, a.size - up, up_b, n)
    up_down = rng.hypergeometric(down, a.size - up - down, up_b - up_up)
    free_up, free_down, free = up - up_up, down - up_down, a.size - up_b
    down_up = rng.hypergeometric(free_up, free - free_up, down_b)
    down_down = rng.hypergeometric(free_down, free - free_up - free_down, down_b - down_up)
    same, opposite = up_up + down_down, up_down + down_up
    return np.array([same, opposite, up + down + up_b + down_b - same - opposite], np.float64)


def positives(a: Layer, _: Layer) -> Counts:
    """(positive, living)."""
    return np.array([np.count_nonzero(a > 0), np.count_nonzero(a)], np.float64)


def share(counts: Counts) -> Counts:
    """The first count, of the second."""
    return quotient(counts[0], counts[1])


_measure = partial(Measure, family="signs", reads="side")
_common = partial(Additive, signs, table)
_ternary = partial(Additive, signs, ternary_table)

MEASURES.register("sign-agreement", "share of common survivors with equal signs (Zhou et al. 2019)")(
    _measure(_common(agreement), nulls=("sign-shuffle",), exact=TABLE)
)
MEASURES.register(
    "cohen-kappa", "agreement of signs beyond that of the shares of positive weights (Cohen 1960)"
)(_measure(_common(kappa), nulls=("sign-shuffle",), exact=TABLE))
MEASURES.register(
    "ternary-agreement", "weights with equal mask and sign, of those that either keeps (house measure)"
)(_measure(_ternary(ternary_agreement), nulls=("layer-shuffle",), drawn=shuffled_ternary))
MEASURES.register(
    "sign-similarity",
    "equal minus opposite signs, of the weights that either keeps (docs/sign-similarity.md)",
)(_measure(_ternary(signed_similarity), nulls=("layer-shuffle",), drawn=shuffled_ternary, adjusted=True))
MEASURES.register(
    "positive-share", "one ticket: share of survivors that are positive (Frankle & Carbin 2019, App. F)"
)(_measure(Additive(signs, positives, share), nulls=("fair-signs",), exact=COIN, subjects=1))
MEASURES.register(
    "flips", "one ticket: share of survivors whose sign changed in training (Gadhikar & Burkholz 2024)"
)(
    _measure(
        _common(disagreement), nulls=("sign-shuffle",), exact=TABLE, subjects=1, alike=-1, reads="both sides"
    )
)
