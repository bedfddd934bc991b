"""Verdicts in words: the estimate with its interval first, then the test, then the decision."""

from __future__ import annotations

from tombola.analysis.decide import NO, OPPOSITE, UNRESOLVED, UNTESTED, YES, Verdict
from tombola.analysis.matching_level import Matching
from tombola.stats.paired import POWER
from tombola.stats.permutation import against
from tombola.study.claims import PREFIX

UNITS = {
    "accuracy": (100.0, "{:.2f}", " pp"),
    "gap": (100.0, "{:.2f}", " pp"),
    "iteration": (1.0, "{:.0f}", ""),
}
"""How the end of a quantity's name is shown: scale, format, unit."""


DECIDED = {
    YES: "yes",
    OPPOSITE: "no, the opposite",
    NO: "no, not shown",
    UNRESOLVED: "not resolved",
    UNTESTED: "not tested",
}
"""Decision -> what it is called wherever it is read: printed, on the page, in papers and slides, and in JSON."""
MEANING = (
    "“Yes” holds for all claims of a family together, by Holm's correction, and so does “the opposite”, by a "
    "correction of its own; “not shown” does not say that the opposite holds, and “not resolved” says that so few "
    "replicates could not have shown it."
)


def amount(quantity: str, value: float, sign: bool = False) -> str:
    """A difference in a quantity: accuracies and gaps in percentage points, iterations whole."""
    scale, form, unit = next((UNITS[end] for end in UNITS if quantity.endswith(end)), (1.0, "{:.4f}", ""))
    if quantity.startswith(PREFIX):
        scale, form, unit = 1.0, "{:.4f}", ""
    return (form.replace(":", ":+") if sign else form).format(scale * value) + unit


def estimate(verdict: Verdict) -> str:
    """What was compared and the estimate with its 95% interval, effect size and n."""
    claim, place, found = verdict.hypothesis, verdict.asked, verdict.answer.found
    a, b = claim.arms
    if place.density is not None:
        where = f" at {100 * place.density:.1f}% (level {place.level})"
    else:
        where = f" at {100 * place.wanted:.1f}%" if place.wanted else ""
    what = f"{a} - {b}{where}, {claim.quantity.replace('_', ' ')}"
    if found.difference is None:
        return f"{what}: {verdict.why or 'no estimate'}"
    said = f"{what}: {difference(verdict)}"
    if found.effect is not None:
        said += f", d = {found.effect:.2f}"
    n = f"n = {verdict.answer.n}" + (f" of {verdict.planned}" if verdict.answer.n != verdict.planned else "")
    left = f", {verdict.answer.left_out} cells without a number left out" if verdict.answer.left_out else ""
    answer = verdict.answer
    last = (
        f", the last evaluation in {answer.at_end} of {answer.trainings} trainings" if answer.at_end else ""
    )
    return f"{said}, {n}{left}{last}"


def difference(verdict: Verdict) -> str:
    """The estimate with its 95% interval: '+0.20 pp [-0.05, +0.45]'; a dash where there is none."""
    quantity, found = verdict.hypothesis.quantity, verdict.answer.found
    if found.difference is None:
        return "–"
    said = amount(quantity, found.difference, sign=True)
    low, high = (None if end is None else amount(quantity, end, sign=True) for end in verdict.interval)
    if low is None or high is None:
        return said
    return f"{said} [{low.removesuffix(' pp')}, {high.removesuffix(' pp')}]"


def claimed(verdict: Verdict) -> str:
    """The direction in words, with its margin."""
    claim = verdict.hypothesis
    margin = amount(claim.quantity, claim.margin)
    if claim.direction == "same":
        return f"within {margin}"
    if not claim.margin:
        return claim.direction
    return f"above -{margin}" if claim.direction == "greater" else f"below +{margin}"


def test_of(verdict: Verdict) -> str:
    """The test, its p, and p as corrected in the family; empty where there is no p."""
    claim, p = verdict.hypothesis, verdict.answer.found.p
    if p is None or verdict.p_holm is None:
        return ""
    said = f"{claim.test}, {claimed(verdict)}: p = {small(p)}"
    if verdict.tests > 1:
        said += f", {small(verdict.p_holm)} by Holm over the {verdict.tests} tests of '{claim.family}'"
    return f"{said} (alpha {claim.alpha:g})"


def decision(verdict: Verdict) -> str:
    """The decision and what it rests on, where p does not say so: 'not resolved (n = 4 is too small ...)'."""
    why = reason(verdict)
    return f"{DECIDED[verdict.decision]} ({why})" if why else DECIDED[verdict.decision]


def reason(verdict: Verdict) -> str:
    """What the decision rests on: the p of the opposite, or why it is not resolved and what it would take; or ''."""
    claim, needed = verdict.hypothesis, verdict.n_needed
    takes = f"; it takes {needed} replicates" if needed else ""
    if verdict.decision == OPPOSITE and verdict.p_opposite_holm is not None:
        return f"the other way p = {small(verdict.p_opposite_holm)}{' by Holm' if verdict.tests > 1 else ''}"
    if verdict.decision == UNRESOLVED:
        return f"{verdict.why or _too_few(verdict)}{takes}"
    if verdict.decision == NO and against(verdict.answer.found, claim.direction, claim.margin):
        return f"the interval lies {_other_side(verdict)}"
    if verdict.decision == NO and needed:
        return f"a power of {POWER:g} at this effect takes {needed} replicates"
    return ""


def _too_few(verdict: Verdict) -> str:
    """'n = 4 is too small: p is 0.062 at least, above alpha 0.05'."""
    said = f"n = {verdict.answer.n} is too small"
    if verdict.p_holm_smallest is None:
        return said
    by = f" by Holm over {verdict.tests} tests" if verdict.tests > 1 else ""
    return f"{said}: p is {small(verdict.p_holm_smallest)} at least{by}, above alpha {verdict.hypothesis.alpha:g}"


def _other_side(verdict: Verdict) -> str:
    """Where an interval lies that speaks against the claim."""
    claim = verdict.hypothesis
    if claim.direction == "same":
        return "outside the margin"
    if not claim.margin:
        return "on the other side of zero"
    return f"beyond the margin of {amount(claim.quantity, claim.margin)}"


def changed(verdict: Verdict) -> str:
    """When the hypothesis was changed; empty where it was fixed before the first cell."""
    after = verdict.changed_after
    if after is None:
        return ""
    return "not recorded before the results" if after < 0 else f"changed after {after} cells"


def match(found: Matching) -> str:
    """The sparsest matching level in a sentence, with what single replicates say."""
    what = (
        f"{found.quantity.replace('_', ' ')} not more than {amount(found.quantity, found.margin)} below dense"
    )
    if not found.steps:
        return f"Sparsest matching level ({what}): {found.why}"
    if found.density is None:
        said = f"not resolved ({found.why})" if "too small" in found.why else "none"
    else:
        said = f"{100 * found.density:.1f}% (level {found.level})"
    n = max(step.n for step in found.steps)
    said = (
        f"Sparsest matching level ({what}, {found.test} at {found.alpha:g} down the ladder, n = {n}): {said}"
    )
    if found.typical is not None and found.of_replicate:
        mean, low, high = found.typical
        interval = "" if low is None or high is None else f" [{100 * low:.1f}%, {100 * high:.1f}%]"
        each = ", ".join(f"{100 * density:.1f}%" for density in found.of_replicate.values())
        said += f"; replicate by replicate {each}, on average {100 * mean:.1f}%{interval}"
    return said


def small(p: float) -> str:
    """A p-value as people write it."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"
