"""Verdicts in words: the estimate with its interval first, then the test, then the decision."""

from __future__ import annotations

from tombola.study.deciding import NO, UNRESOLVED, Verdict
from tombola.study.hypotheses import PREFIX
from tombola.study.matching import Matching
from tombola.study.statistics import POWER

UNITS = {
    "accuracy": (100.0, "{:.2f}", " pp"),
    "gap": (100.0, "{:.2f}", " pp"),
    "iteration": (1.0, "{:.0f}", ""),
}
"""How the end of a quantity's name is shown: scale, format, unit."""


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
    return f"{said}, {n}{left}"


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
    """The decision; where it is not resolved why, and how many replicates it would take."""
    needed = verdict.n_needed
    if verdict.decision == UNRESOLVED:
        why = verdict.why or "n too small for this alpha"
        return f"not resolved ({why}{f'; it takes {needed} replicates' if needed else ''})"
    if verdict.decision == NO and needed:
        return f"no (a power of {POWER:g} at this effect takes {needed} replicates)"
    return verdict.decision


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
