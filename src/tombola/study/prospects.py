"""Prospects: what the tests of a study could give with all its replicates, whatever is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tombola.lottery.arms.catalog import TICKET
from tombola.stats.holm import judge
from tombola.stats.paired import flips_needed, smallest
from tombola.study.claims import DENSE, DONOR_TICKET, NEAR, Hypothesis
from tombola.study.ladders import ladders_of
from tombola.study.spec import Study
from tombola.text import listed


@dataclass(frozen=True)
class Asked:
    """One test of a hypothesis: the density that was named (None: every level), and the level it is asked at, with its
    density; or the sentence why the study cannot answer it. Only what can be answered is of the family."""

    hypothesis: Hypothesis
    wanted: float | None = None
    level: int | None = None
    density: float | None = None
    why: str = ""


def asked(study: Study, densities: Sequence[float]) -> list[Asked]:
    """Every test of a study's hypotheses, in order; `densities` are those of its levels, dense first.

    A density is asked at the level whose density is nearest to it, by their quotient, and not at all where that is
    further away than 10%. Nothing here depends on what was found, so families are fixed before the run.
    """
    found: list[Asked] = []
    for hypothesis in study.hypothesis:
        tests = [_nearest(hypothesis, wanted, study, densities) for wanted in hypothesis.densities]
        levels = set[int]()
        for test in tests or _everywhere(hypothesis, study, densities):
            if test.level is None or test.level not in levels:  # two densities of one level are one test
                found.append(test)
            if test.level is not None:
                levels.add(test.level)
    return found


def _everywhere(hypothesis: Hypothesis, study: Study, densities: Sequence[float]) -> list[Asked]:
    levels = [level for level in range(1, len(densities)) if not _absent(hypothesis, study, level)]
    if not levels:
        both = "both " if len(hypothesis.arms) == 2 else ""
        why = f"no level of this study has {both}{listed(dict.fromkeys(hypothesis.arms))}"
        return [Asked(hypothesis, why=why)]
    return [Asked(hypothesis, None, level, densities[level]) for level in levels]


def _nearest(hypothesis: Hypothesis, wanted: float, study: Study, densities: Sequence[float]) -> Asked:
    ladder = range(1, len(densities))
    if not ladder:
        return Asked(hypothesis, wanted, why="this study has no level below dense")
    level = min(ladder, key=lambda each: abs(math.log(densities[each] / wanted)))
    percent = f"{100 * densities[level]:.1f}%"
    if abs(math.log(densities[level] / wanted)) > math.log1p(NEAR):
        why = (
            f"no level of this study is within {100 * NEAR:.0f}% of this density; the nearest is at {percent}"
        )
        return Asked(hypothesis, wanted, why=why)
    absent = _absent(hypothesis, study, level)
    if absent:
        why = f"this study does not train {listed(absent)} at level {level} ({percent})"
        return Asked(hypothesis, wanted, why=why)
    return Asked(hypothesis, wanted, level, densities[level])


def _absent(hypothesis: Hypothesis, study: Study, level: int) -> list[str]:
    """The arms of a hypothesis that the study does not train at a level."""
    here = {TICKET, DENSE, study.search_arm, *(name for name, _ in study.arms_at(level))}
    if (donors := ladders_of(study).get("donors")) and level <= donors.levels:
        here.add(DONOR_TICKET)
    return [arm for arm in dict.fromkeys(hypothesis.arms) if arm not in here]


def families_of(tests: Sequence[Asked]) -> list[list[int]]:
    """The places of the tests of each family that the study can answer."""
    places: dict[str, list[int]] = {}
    for index, test in enumerate(tests):
        if test.level is not None:
            places.setdefault(test.hypothesis.family, []).append(index)
    return list(places.values())


MOST = 6
"""Names in a sentence."""


@dataclass(frozen=True)
class Prospect:
    """What a test could give by the plan: its smallest p, alone and as corrected if all tests of its family had
    theirs; whether that could be a yes; and how many replicates it would take where it could not."""

    asked: Asked
    p_smallest: float = 1.0
    p_holm: float = 1.0
    resolvable: bool = False
    n_needed: int | None = None


def prospects(study: Study, densities: Sequence[float]) -> list[Prospect]:
    """What the tests of a study could give with all its replicates; `densities` are those of its levels."""
    found = [Prospect(one) for one in asked(study, densities)]
    for members in families_of([each.asked for each in found]):
        claims = [found[index].asked.hypothesis for index in members]
        best = [smallest(each.test, study.replicates, each.direction) for each in claims]
        for index, claim, p, one in zip(
            members, claims, best, judge(best, best, claims[0].alpha), strict=True
        ):
            needed = None
            if not one.resolvable and claim.test == "sign-flip":
                needed = flips_needed(claim.alpha / len(members), claim.direction)
            found[index] = Prospect(found[index].asked, p, one.p, one.resolvable, needed)
    return found


def unanswerable(study: Study, densities: Sequence[float]) -> str:
    """A sentence on the tests that the study's replicates cannot resolve whatever is found, and how many it would take;
    empty where there is none."""
    every = [each for each in prospects(study, densities) if each.asked.level is not None]
    lost = [each for each in every if not each.resolvable]
    if not lost:
        return ""
    names = list(dict.fromkeys(each.asked.hypothesis.name for each in lost))
    shown = ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
    hardest = max(lost, key=lambda each: each.p_holm / each.asked.hypothesis.alpha)
    claim, known = hardest.asked.hypothesis, [each.n_needed for each in lost if each.n_needed]
    takes = f"it takes {max(known)}" if len(known) == len(lost) else "more replicates alone do not help"
    count = f"{study.replicates} replicate{'s' * (study.replicates > 1)}"
    return (
        f"{len(lost)} of {len(every)} test{'s' * (len(every) > 1)} of hypotheses cannot be resolved with {count}, "
        f"whatever is found ({shown}): p is {hardest.p_holm:.2g} at least by Holm in '{claim.family}', above alpha "
        f"{claim.alpha:g}; {takes}"
    )
