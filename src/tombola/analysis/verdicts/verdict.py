"""A verdict: one flat row of what was asked, what was found and what is decided."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

import polars as pl

from tombola.stats.verdict import UNTESTED
from tombola.study.claims import PREFIX


@dataclass(frozen=True)
class Verdict:
    """One test of a hypothesis over n of the planned replicates; its fields are the columns of the table of verdicts.

    `a` and `b` are the arms, of an interaction (a - b) - (c - d) `c` and `d` as well, else empty; then `mean_a` is
    the mean of a - b and `mean_b` that of c - d. `wanted` is the density that was named (None: every level), `level`
    and `density` where it is asked; without a level the study cannot answer it. `needs` names the hypotheses that
    have to come out first. `test` is what was done: `sign` where an early stop was not reached (see `stats.sign`).

    `left_out` counts the cells of the arms that have no number (collapsed, diverged). Of a claim about early-stop
    iterations, `at_end` of the `trainings` of all arms have theirs at the last evaluation. `draws` says where arms have
    unequal numbers of draws; empty where they do not. `low` and `high` are the 95% interval of `difference`, cut where
    differences of the quantity can be no larger. `p_smallest` is the smallest p that n replicates can give.

    `tests` is the size of the family that p is corrected in, `p_holm_smallest` what p as corrected could be at least,
    `p_opposite` that of the claim's opposite, None where it has none, and `p_opposite_holm` that as corrected over
    the opposites of the family. `n_needed` is how many replicates it would take: where it is not resolvable, the
    fewest whose smallest p would do; where it is too close to say, about those with which a t-test has a power of 0.8
    at the effect that was seen, at alpha / tests. `changed_after` is how many cells were done when the family was
    last changed: None where it was fixed before the first, -1 where nobody knows. `control` names what the claim
    needs and did not come out. `answers` is the question that it answers, if any; `share` the difference as a share of
    that of two arms (`Hypothesis.share_of`), None where the latter may be 0. `lenders` are those that several
    replicates of the arms take from ('8 donors'; '' where each has its own): it holds for these. `why` is what stands
    against an answer, a sentence without its full stop.
    """

    family: str
    name: str
    claim: str
    quantity: str
    a: str
    b: str
    c: str
    d: str
    wanted: float | None
    level: int | None
    density: float | None
    direction: str
    margin: float
    needs: str
    test: str
    alpha: float
    planned: int
    n: int = 0
    left_out: int = 0
    at_end: int | None = None
    trainings: int | None = None
    draws: str = ""
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    effect: float | None = None
    p: float | None = None
    p_smallest: float = 1.0
    tests: int = 0
    p_holm: float | None = None
    p_holm_smallest: float | None = None
    p_opposite: float | None = None
    p_opposite_holm: float | None = None
    decision: str = UNTESTED
    n_needed: int | None = None
    changed_after: int | None = None
    control: str = ""
    answers: str = ""
    share_of: str = ""
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    lenders: str = ""
    why: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """Two, or the four of an interaction."""
        return tuple(arm for arm in (self.a, self.b, self.c, self.d) if arm)

    @property
    def of_measure(self) -> bool:
        """Whether the quantity is a measure, not of the results."""
        return self.quantity.startswith(PREFIX)

    def row(self) -> dict[str, Any]:
        """The columns of `VERDICTS`."""
        return dict(vars(self))


TYPES = {"str": pl.String, "float": pl.Float64, "int": pl.Int64}
VERDICTS = {each.name: TYPES[str(each.type).split(" ")[0]] for each in fields(Verdict)}
"""Columns of the table of verdicts and their types."""
REQUIRED = {each.name for each in fields(Verdict) if each.default is MISSING}
"""Columns that a stored table of verdicts has, by whatever version it was made; others have their default."""
