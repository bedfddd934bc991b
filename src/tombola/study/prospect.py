"""Prospects: what the tests of a study could give with all its replicates, whatever is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tombola.compare.holm import judge
from tombola.study.deciding import draws_of, families_of
from tombola.study.hypotheses import Asked, asked
from tombola.study.spec import Study
from tombola.study.statistics import flips_needed, smallest

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
        best = [
            smallest(each.test, study.replicates, each.direction, draws_of(each, study)) for each in claims
        ]
        for index, claim, p, one in zip(
            members, claims, best, judge(best, best, claims[0].alpha), strict=True
        ):
            needed = None
            if not one.resolvable and claim.test == "sign-flip":
                needed = flips_needed(claim.alpha / len(members), claim.direction, draws_of(claim, study))
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
