"""What can come of a test: one set of decisions for claims and for comparisons."""

from __future__ import annotations

from tombola.stats.holm import Judged

YES, NO, CLOSE, UNRESOLVED, UNTESTED = "yes", "no", "too close", "not resolvable", "not tested"
DECISIONS = (YES, NO, CLOSE, UNRESOLVED, UNTESTED)
"""In the order of prose.

`yes`: the claim is shown. `no`: its opposite is (`permutation.opposites`). `too close`: neither, by a test that could
have shown the claim. `not resolvable`: no p that so many replicates can give would do, or there is no p, or a control
that the claim needs did not come out. `not tested`: there is nothing to test.

In a family without any effect the chance of a `yes` is at most alpha, by Holm's correction over all its tests; so is,
by a second correction over the tests that have an opposite, that of a `no`.
"""


def decision(mine: Judged, opposite: Judged | None) -> str:
    """What a test and that of its opposite, None where it has none, decide."""
    if mine.rejected:
        return YES
    if opposite is not None and opposite.rejected:
        return NO
    return CLOSE if mine.resolvable else UNRESOLVED
