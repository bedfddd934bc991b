"""Deciding hypotheses: each tested over replicates, all of a family together, and held to its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from tombola.analysis.lenders import shared_lenders
from tombola.analysis.verdicts.outcomes import Side, compared, contrasts, place_of, shared, side
from tombola.analysis.verdicts.verdict import Verdict
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.runs.stops import STOP, ends
from tombola.seeds import stream
from tombola.stats.holm import Judged, judge
from tombola.stats.intervals import cut, difference_bounds
from tombola.stats.paired import beyond_margin, flips_needed, replicates_for_power
from tombola.stats.permutation import opposites
from tombola.stats.ratio import Ratio, ratio_interval
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, YES, decision
from tombola.study.claims import Hypothesis
from tombola.study.prospects import Asked, asked, families_of
from tombola.study.spec import Study
from tombola.text import draws_in_words

Measured = Callable[[Hypothesis, Verdict], Verdict]
"""A verdict with what a measure says of a hypothesis at the verdict's level. Raises UserError where it cannot be
taken."""


def decided(
    study: Study, frame: pl.DataFrame, densities: Sequence[float], measured: Measured
) -> list[Verdict]:
    """Every test of a study's hypotheses with its decision; `frame` are the results, `densities` those of its levels.

    A family holds all its tests that the study can answer by its plan, also those without results yet: these have
    no p, count as 1, and are not decided. So a family is as large in the middle of a run as at its end.
    """
    every = asked(study, densities)
    found = [_tested(each, study, frame, measured) for each in every]
    for members in families_of(every):
        judged, others = _judged([(every[index].hypothesis, found[index]) for index in members])
        for index, mine, other in zip(members, judged, others, strict=True):
            one = replace(found[index], tests=len(members), p_holm_smallest=mine.smallest)
            found[index] = _decided(every[index].hypothesis, one, mine, other) if one.n else one
    return _controlled(study.hypothesis, found)


def _tested(one: Asked, study: Study, frame: pl.DataFrame, measured: Measured) -> Verdict:
    """What was asked and found, not decided yet."""
    claim = one.hypothesis
    a, b, c, d = (*claim.arms, "", "")[:4]
    blank = Verdict(
        family=claim.family,
        name=claim.name,
        claim=claim.claim,
        quantity=claim.quantity,
        a=a,
        b=b,
        c=c,
        d=d,
        wanted=one.wanted,
        level=one.level,
        density=one.density,
        direction=claim.direction,
        margin=claim.margin,
        needs=", ".join(claim.needs),
        test=claim.test,
        alpha=claim.alpha,
        planned=study.replicates,
        answers=claim.answers or "",
        share_of=" less ".join(claim.share_of or ()),
        lenders=shared_lenders(study, claim.arms),
        why=one.why,
    )
    if one.level is None:
        return blank
    if not claim.measure:
        return _by_results(claim, blank, one.level, study, frame)
    try:
        return measured(claim, blank)
    except UserError as problem:
        return replace(blank, why=str(problem))


def _by_results(claim: Hypothesis, blank: Verdict, level: int, study: Study, frame: pl.DataFrame) -> Verdict:
    sides = [side(frame, claim.quantity, level, arm) for arm in claim.arms]
    distinct = {each.arm: each for each in sides}
    blank = replace(blank, left_out=sum(each.left_out for each in distinct.values()))
    if not shared(sides):
        counts = ", ".join(f"{arm} {len(each.values)}" for arm, each in distinct.items())
        every = "both arms" if len(sides) == 2 else "all arms"
        return replace(
            blank, why=f"no replicate has {every} at level {level} (replicates with a number: {counts})"
        )

    def ways() -> np.random.Generator:
        return stream(study.seed, "verdict", claim.name, level)

    seen = compared(sides, claim.test, claim.direction, claim.margin, ways)
    low, high = cut(seen.found.low, seen.found.high, difference_bounds(claim.quantity, len(sides)))
    draws = [(arm, [each.draws[r] for r in shared(sides)]) for arm, each in distinct.items()]
    at_end, trainings = None, None
    if claim.quantity == STOP:
        stops = ends(frame, {place_of(arm, level) for arm in claim.arms}).values()
        at_end, trainings = sum(k for k, _ in stops), sum(n for _, n in stops)
    if ratio := _share(claim, level, frame, sides):
        blank = replace(blank, share=ratio.value, share_low=ratio.low, share_high=ratio.high)
    return replace(
        blank,
        **vars(seen.found) | {"low": low, "high": high},
        n=seen.n,
        p_smallest=seen.p_smallest,
        p_opposite=seen.p_opposite,
        test=seen.test,
        why=seen.why,
        draws=draws_in_words(draws),
        at_end=at_end,
        trainings=trainings,
    )


def _share(claim: Hypothesis, level: int, frame: pl.DataFrame, sides: Sequence[Side]) -> Ratio | None:
    """The contrast as a share of that of two other arms, over the replicates that have all of them; none where a
    value of theirs was not reached, so that there is no mean to take a share of."""
    if claim.share_of is None:
        return None
    whole = [side(frame, claim.quantity, level, arm) for arm in claim.share_of]
    both = shared([*sides, *whole])
    if any(each.unreached.intersection(both) for each in (*sides, *whole)):
        return None
    return ratio_interval(contrasts(sides, both), contrasts(whole, both))


def _judged(family: Sequence[tuple[Hypothesis, Verdict]]) -> tuple[list[Judged], list[Judged | None]]:
    """The tests of a family corrected together; and their opposites, those that have one."""
    alpha = family[0][0].alpha
    judged = judge([each.p for _, each in family], [each.p_smallest for _, each in family], alpha)
    opposed = [bool(opposites(claim.direction)) for claim, _ in family]
    p = [each.p_opposite for (_, each), has in zip(family, opposed, strict=True) if has]
    others = iter(judge(p, [0.0] * len(p), alpha))
    return judged, [next(others) if has else None for has in opposed]


def _decided(claim: Hypothesis, one: Verdict, mine: Judged, other: Judged | None) -> Verdict:
    one = replace(
        one,
        p_holm=None if one.p is None else mine.p,
        p_opposite_holm=None if one.p_opposite is None or other is None else other.p,
        decision=decision(mine, other),
    )
    return replace(one, n_needed=_needed(claim, one))


def _needed(claim: Hypothesis, one: Verdict) -> int | None:
    """How many replicates it would take, see `Verdict`; None where nobody can say, or where there are as many."""
    alpha, needed = one.alpha / one.tests, None
    if one.decision == UNRESOLVED and one.test != "t":
        needed = flips_needed(alpha, claim.direction)
    effect = beyond_margin(one, one.n, claim.direction, claim.margin)
    if one.decision == CLOSE and effect is not None:
        needed = replicates_for_power(abs(effect), alpha, claim.direction)
    return needed if needed and needed > one.n else None


def _controlled(hypotheses: Sequence[Hypothesis], found: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, those that need a control that did not come out made not resolvable; controls may need others."""
    held = list(found)
    for _ in hypotheses:
        held = [_held(each, held) for each in held]
    return held


def _held(one: Verdict, found: Sequence[Verdict]) -> Verdict:
    lost = [name for name in one.needs.split(", ") if name and not _came_out(name, one.level, found)]
    if not lost or one.decision not in (YES, NO, CLOSE):
        return one
    said = " and ".join(f"'{name}'" for name in lost)
    why = f"{said} had to come out first, and did not"
    return replace(one, decision=UNRESOLVED, control=", ".join(lost), why=why, n_needed=None)


def _came_out(name: str, level: int | None, found: Sequence[Verdict]) -> bool:
    """Whether a control is shown: at this level, if it is asked there, else wherever it is."""
    tests = [each for each in found if each.name == name]
    here = [each for each in tests if each.level == level] or tests
    return bool(here) and all(each.decision == YES for each in here)


def densities_of(frame: pl.DataFrame) -> list[float]:
    """The densities of levels 0, 1, ... as far as tickets are done, where a run has no record of the planned ones."""
    rows = frame.filter(pl.col("arm") == TICKET).group_by("level").agg(pl.col("density").mean())
    known: dict[int, float] = dict(rows.iter_rows())
    return [known[level] for level in range(len(known)) if level in known]
