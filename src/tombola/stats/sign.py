"""The sign test of differences that are known only to lie between two numbers, as those of censored values are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tombola.stats.permutation import Direction


def sign_test(
    low: Sequence[float], high: Sequence[float], direction: Direction, margin: float = 0.0
) -> float:
    """p of the sign test, where difference i lies between low[i] and high[i] (which may be infinite).

    A difference speaks for a claim only if all of its range does: what is not known counts against it, and so does
    what lies on the margin itself. So p is never too small, whatever lies beyond, and needs no symmetry: it asks
    whether more than half of all replicates lie on the claimed side. One-sided the least is 1/2^n, and 2/2^n for
    `different`.
    """
    greater = _at_least(sum(end > -margin for end in low), len(low))
    less = _at_least(sum(end < margin for end in high), len(high))
    two_sided = min(2 * min(greater, less), 1.0)  # without a margin
    return {"greater": greater, "less": less, "same": max(greater, less), "different": two_sided}[direction]


def _at_least(heads: int, tosses: int) -> float:
    """The chance of so many heads or more of a fair coin."""
    return float(sum(math.comb(tosses, k) for k in range(heads, tosses + 1)) / 2**tosses)
