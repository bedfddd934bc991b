"""Deciding hypotheses: each tested over replicates, all of a family together; and what a plan could decide at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.runs.results import by_replicate
from tombola.runs.stops import ends
from tombola.seeds import stream
from tombola.stats.holm import Judged, judge
from tombola.stats.intervals import cut, difference_bounds
from tombola.stats.paired import (
    against_claim,
    beyond_margin,
    flips_needed,
    paired,
    replicates_for_power,
    smallest,
)
from tombola.stats.permutation import Contrasted, against, opposites
from tombola.study.claims import DENSE, DERIVED, Hypothesis
from tombola.study.prospects import Asked, asked, families_of
from tombola.study.spec import Study

YES, OPPOSITE, NO, UNRESOLVED, UNTESTED = "yes", "opposite", "no", "not resolved", "not tested"
DECISIONS = (YES, OPPOSITE, NO, UNRESOLVED, UNTESTED)
"""What can come of a test, in the order of prose.

`yes`: the claim is shown. `opposite`: its opposite is (`compare.swaps.opposites`). `no`: the claim is not shown, by a
test that could have, or its 95% interval lies on the other side. `not resolved`: no p that so many replicates can give
would do, or there is no p; `why` says which. `not tested`: there is nothing to test.

In a family without any effect the chance of a `yes` is at most alpha, by Holm's correction over all its tests; so is,
by a second correction over the tests that have an opposite, that of an `opposite`. An interval on the other side is
not corrected, and so makes a `no`, never an `opposite`.
"""
VERDICTS = {
    **dict.fromkeys(("family", "name", "claim", "quantity", "a", "b"), pl.String),
    "wanted": pl.Float64,
    "level": pl.Int64,
    "density": pl.Float64,
    "direction": pl.String,
    "margin": pl.Float64,
    "test": pl.String,
    "alpha": pl.Float64,
    "n": pl.Int64,
    "planned": pl.Int64,
    "left_out": pl.Int64,
    "at_end": pl.Int64,
    "trainings": pl.Int64,
    **dict.fromkeys(
        ("mean_a", "mean_b", "difference", "low", "high", "effect", "p", "p_smallest"), pl.Float64
    ),
    "tests": pl.Int64,
    **dict.fromkeys(("p_holm", "p_holm_smallest", "p_opposite", "p_opposite_holm"), pl.Float64),
    "decision": pl.String,
    "n_needed": pl.Int64,
    "changed_after": pl.Int64,
    "why": pl.String,
}
"""Columns of the table of verdicts and their types."""


@dataclass(frozen=True)
class Answer:
    """What was found for one test over n replicates, and the smallest p that so many can give.

    `left_out` counts the cells of the two arms that have no number (collapsed, diverged); `why` says what stands
    against an answer. `p_opposite` is that of the claim's opposite, None where it has none. Of a claim about early-stop
    iterations, `at_end` of the `trainings` of both arms have theirs at the last evaluation.
    """

    found: Contrasted = field(default_factory=Contrasted)
    n: int = 0
    p_smallest: float = 1.0
    left_out: int = 0
    why: str = ""
    p_opposite: float | None = None
    at_end: int | None = None
    trainings: int | None = None


Measured = Callable[[Hypothesis, int], Answer]
"""What a measure says of a hypothesis at a level. Raises UserError where it cannot be taken."""


@dataclass(frozen=True)
class Verdict:
    """One test of a hypothesis: what was asked, what was found over n of the planned replicates, and the decision.

    `tests` is the size of the family that p is corrected in, `p_holm_smallest` what p as corrected could be at least,
    and `p_opposite_holm` that of the opposite, corrected over the opposites of the family. `n_needed` is how many
    replicates it would take: by sign-flip, where no p that n replicates can give would do, the fewest that can; by t,
    where the answer is no, the fewest that have a power of 0.8 at the observed effect, at alpha / tests.
    `changed_after` is how many cells were done when the family was last changed: None where it was fixed before the
    first, -1 where nobody knows.
    """

    asked: Asked
    planned: int
    answer: Answer = field(default_factory=Answer)
    tests: int = 0
    p_holm: float | None = None
    p_holm_smallest: float | None = None
    p_opposite_holm: float | None = None
    decision: str = UNTESTED
    n_needed: int | None = None
    changed_after: int | None = None

    @property
    def hypothesis(self) -> Hypothesis:
        """What was claimed."""
        return self.asked.hypothesis

    @property
    def why(self) -> str:
        """What stands against an answer, a sentence without its full stop; empty where nothing does."""
        return self.asked.why or self.answer.why

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The 95% interval of the difference, cut where differences of the quantity can be no larger."""
        found = self.answer.found
        if self.hypothesis.measure:
            return found.low, found.high
        return cut(found.low, found.high, difference_bounds(self.hypothesis.quantity))

    def row(self) -> dict[str, Any]:
        """The columns of `VERDICTS`."""
        claim = self.hypothesis
        every = {
            **claim.model_dump(),
            **asdict(self.answer.found),
            **vars(self.answer),
            **vars(self.asked),
            **vars(self),
            **dict(zip(("low", "high"), self.interval, strict=True)),
            "a": claim.arms[0],
            "b": claim.arms[1],
            "why": self.why,
        }
        return {key: every[key] for key in VERDICTS}


def decided(
    study: Study, frame: pl.DataFrame, densities: Sequence[float], measured: Measured
) -> list[Verdict]:
    """Every test of a study's hypotheses with its decision; `frame` are the results, `densities` those of its levels.

    A family holds all its tests that the study can answer by its plan, also those without results yet: these have
    no p, count as 1, and are not decided. So a family is as large in the middle of a run as at its end.
    """
    found = []
    for one in asked(study, densities):
        answer = Answer() if one.level is None else _answer(one.hypothesis, one.level, study, frame, measured)
        found.append(Verdict(one, study.replicates, answer))
    for members in families_of([each.asked for each in found]):
        judged, others = _judged([found[index] for index in members])
        for index, mine, other in zip(members, judged, others, strict=True):
            verdict = replace(found[index], tests=len(members), p_holm_smallest=mine.smallest)
            if verdict.answer.n:
                p = None if verdict.answer.found.p is None else mine.p
                p_other = None if verdict.answer.p_opposite is None or other is None else other.p
                verdict = replace(verdict, p_holm=p, p_opposite_holm=p_other)
                verdict = replace(verdict, decision=_decision(verdict, mine, other))
                verdict = replace(verdict, n_needed=_needed(verdict, study))
            found[index] = verdict
    return found


def _judged(family: Sequence[Verdict]) -> tuple[list[Judged], list[Judged | None]]:
    """The tests of a family corrected together; and their opposites, those that have one."""
    alpha, answers = family[0].hypothesis.alpha, [each.answer for each in family]
    judged = judge([each.found.p for each in answers], [each.p_smallest for each in answers], alpha)
    opposed = [bool(opposites(each.hypothesis.direction)) for each in family]
    p = [each.p_opposite for each, has in zip(answers, opposed, strict=True) if has]
    others = iter(judge(p, [0.0] * len(p), alpha))
    return judged, [next(others) if has else None for has in opposed]


def _decision(verdict: Verdict, mine: Judged, other: Judged | None) -> str:
    claim, seen = verdict.hypothesis, verdict.answer.found
    across = against(seen, claim.direction, claim.margin)
    if mine.rejected:
        return YES
    if other is not None and other.rejected:
        return OPPOSITE
    return NO if mine.resolvable or across else UNRESOLVED


def densities_of(frame: pl.DataFrame) -> list[float]:
    """The densities of levels 0, 1, ... as far as tickets are done, where a run has no record of the planned ones."""
    rows = frame.filter(pl.col("arm") == TICKET).group_by("level").agg(pl.col("density").mean())
    known: dict[int, float] = dict(rows.iter_rows())
    return [known[level] for level in range(len(known)) if level in known]


def sides(
    frame: pl.DataFrame, quantity: str, level: int, arms: Sequence[str]
) -> tuple[list[dict[int, float]], int]:
    """The values of two arms at a level, replicate -> value, draws averaged; and how many cells have none."""
    full = frame.with_columns(**DERIVED).with_columns(pl.col(pl.Float64).fill_nan(None))
    values, left_out = list[dict[int, float]](), 0
    for arm in arms:
        name, at = place_of(arm, level)
        here = full.filter((pl.col("arm") == name) & (pl.col("level") == at))
        values.append(dict(by_replicate(here, quantity).select("replicate", quantity).iter_rows()))
        left_out += here.filter((pl.col("status") != "ok") | pl.col(quantity).is_null()).height
    return values, left_out


def place_of(arm: str, level: int) -> tuple[str, int]:
    """The arm and level of the cells that an arm of a hypothesis means at a level."""
    return (TICKET, 0) if arm == DENSE else (arm, level)


def _answer(claim: Hypothesis, level: int, study: Study, frame: pl.DataFrame, measured: Measured) -> Answer:
    if claim.measure:
        try:
            return measured(claim, level)
        except UserError as problem:
            return Answer(why=str(problem))
    (a, b), left_out = sides(frame, claim.quantity, level, claim.arms)
    both = sorted(a.keys() & b.keys())
    if not both:
        counts = ", ".join(f"{arm} {len(has)}" for arm, has in zip(claim.arms, (a, b), strict=True))
        why = f"no replicate has both arms at level {level} (replicates with a number: {counts})"
        return Answer(left_out=left_out, why=why)

    def ways() -> np.random.Generator:
        return stream(study.seed, "verdict", claim.name, level)

    how = [a[r] for r in both], [b[r] for r in both], claim.test, claim.direction, claim.margin
    found, p_opposite = paired(*how, ways()), against_claim(*how, ways)
    why = ""
    if found.p is None:
        why = (
            "one replicate has no t-test"
            if len(both) == 1
            else "the paired differences do not vary, so there is no t"
        )
    least = smallest(claim.test, len(both), claim.direction)
    at_end, trainings = None, None
    if claim.quantity == "early_stop_iteration":
        stops = ends(frame, [place_of(arm, level) for arm in claim.arms]).values()
        at_end, trainings = sum(k for k, _ in stops), sum(n for _, n in stops)
    return Answer(found, len(both), least, left_out, why, p_opposite, at_end, trainings)


def _needed(verdict: Verdict, study: Study) -> int | None:
    claim, answer = verdict.hypothesis, verdict.answer
    alpha = claim.alpha / verdict.tests
    if claim.test == "sign-flip":
        needed = flips_needed(alpha, claim.direction)
        return needed if verdict.decision == UNRESOLVED and needed and needed > answer.n else None
    effect = beyond_margin(answer.found, answer.n, claim.direction, claim.margin)
    if verdict.decision != NO or effect is None:
        return None
    return replicates_for_power(effect, alpha, claim.direction)
