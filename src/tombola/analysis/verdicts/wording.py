"""Verdicts in words: the estimate with its interval first, then the test, then the decision."""

from __future__ import annotations

from collections.abc import Sequence

from tombola.analysis.verdicts.matching_level import Matching
from tombola.analysis.verdicts.verdict import Verdict
from tombola.stats.permutation import WAYS, against
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, UNTESTED, YES
from tombola.study.claims import PREFIX, Hypothesis
from tombola.text import percent

UNITS = {
    "accuracy": (100.0, "{:.2f}", " pp"),
    "gap": (100.0, "{:.2f}", " pp"),
    "iteration": (1.0, "{:.0f}", ""),
}
"""How the end of a quantity's name is shown: scale, format, unit."""


DECIDED = {
    YES: "yes",
    NO: "no, the data speak against it",
    CLOSE: "too close to say",
    UNRESOLVED: "not resolvable",
    UNTESTED: "not tested",
}
"""Decision -> what it is called wherever it is read: printed, on the page, in papers and slides, and in JSON."""
BOX = (
    ("yes", "shown, for all claims of a family together (Holm's correction)."),
    ("no, the data speak against it", "the opposite is shown, by a correction of its own."),
    (
        "too close to say",
        "neither, by a test that could have; n would tell an effect as large as the one seen.",
    ),
    ("not resolvable with this n", "so few replicates could not have shown it, whatever was found."),
    ("not resolvable with this control", "a control that the claim needs did not come out."),
    ("not tested", "there is nothing to test it by."),
)
"""The verdicts and what each says, as every reader is told."""
MEANING = " ".join(f"“{word[:1].upper()}{word[1:]}”: {meaning}" for word, meaning in BOX)
"""The same in one paragraph."""


def amount(quantity: str, value: float, sign: bool = False) -> str:
    """A difference in a quantity: accuracies and gaps in percentage points, iterations whole."""
    scale, form, unit = next((UNITS[end] for end in UNITS if quantity.endswith(end)), (1.0, "{:.4f}", ""))
    if quantity.startswith(PREFIX):
        scale, form, unit = 1.0, "{:.4f}", ""
    return (form.replace(":", ":+") if sign else form).format(scale * value) + unit


def contrast(arms: Sequence[str]) -> str:
    """'ticket less reinit'; of an interaction 'a less b, beyond c less d'."""
    a, b, *others = arms
    return f"{a} less {b}" + (f", beyond {others[0]} less {others[1]}" if others else "")


def estimate(verdict: Verdict) -> str:
    """What was compared and the estimate with its 95% interval, effect size and n."""
    if verdict.density is not None:
        where = f" at {percent(verdict.density, 1)} (level {verdict.level})"
    else:
        where = f" at {percent(verdict.wanted, 1)}" if verdict.wanted else ""
    what = f"{contrast(verdict.arms)}{where}, {verdict.quantity.replace('_', ' ')}"
    if verdict.difference is None:
        return f"{what}: {verdict.why or 'no estimate'}"
    said = f"{what}: {difference(verdict)}"
    if verdict.effect is not None:
        said += f", d = {verdict.effect:.2f}"
    n = f"n = {verdict.n}" + (f" of {verdict.planned}" if verdict.n != verdict.planned else "")
    left = f", {verdict.left_out} cells without a number left out" if verdict.left_out else ""
    draws = f", {verdict.draws}" if verdict.draws else ""
    return f"{said}, {n}{lenders(verdict)}{left}{draws}{_at_end(verdict)}"


def lenders(verdict: Verdict) -> str:
    """', for these 8 donors' where replicates share lenders; else ''."""
    if not verdict.lenders:
        return ""
    one = verdict.lenders.startswith("1 ") and " and " not in verdict.lenders
    return f", for {'this' if one else 'these'} {verdict.lenders}"


def _at_end(verdict: Verdict) -> str:
    if not verdict.at_end:
        return ""
    said = f", no minimum before the end in {verdict.at_end} of {verdict.trainings} trainings"
    return f"{said}, where the last iteration counts" if verdict.test == "sign" else said


def difference(verdict: Verdict) -> str:
    """The estimate with its 95% interval: '+0.20 pp [-0.05, +0.45]'; a dash where there is none."""
    if verdict.difference is None:
        return "–"
    said = amount(verdict.quantity, verdict.difference, sign=True)
    low, high = (
        None if end is None else amount(verdict.quantity, end, sign=True)
        for end in (verdict.low, verdict.high)
    )
    if low is None or high is None:
        return said
    return f"{said} [{low.removesuffix(' pp')}, {high.removesuffix(' pp')}]"


def claimed(verdict: Verdict) -> str:
    """What is claimed of the difference: 'above', 'not below by more than 0.20 pp', 'within 0.20 pp', 'different'."""
    margin = amount(verdict.quantity, verdict.margin)
    if verdict.direction == "same":
        return f"within {margin}"
    said = SIDES[verdict.direction, verdict.margin > 0]
    return f"{said} by more than {margin}" if verdict.margin else said


SIDES = {
    ("greater", False): "above",
    ("greater", True): "not below",
    ("less", False): "below",
    ("less", True): "not above",
    ("different", False): "different",
}
"""Direction and whether there is a margin -> what is claimed."""


def asked_of(claim: Hypothesis) -> str:
    """'of ticket above that of reinit', 'of ticket not below that of dense by more than 0.20 pp'; of an interaction
    'of a less b above that of c less d'."""
    half = len(claim.arms) // 2
    first, second = (" less ".join(arms) for arms in (claim.arms[:half], claim.arms[half:]))
    margin = amount(claim.quantity, claim.margin)
    if claim.direction == "same":
        return f"of {first} within {margin} of that of {second}"
    side = SIDES[claim.direction, claim.margin > 0]
    than = "from" if claim.direction == "different" else ""
    by = f" by more than {margin}" if claim.margin else ""
    return " ".join(f"of {first} {side} {than} that of {second}{by}".split())


def test_name(verdict: Verdict) -> str:
    """The test that was done; a sign-flip is exact where all ways were gone through."""
    names = {"sign-flip": "sign-flip", "t": "t-test", "sign": "sign test"}
    if verdict.of_measure:
        return "swap of replicates"
    exact = verdict.test == "sign-flip" and not verdict.draws and 2**verdict.n <= WAYS
    return f"exact {names[verdict.test]}" if exact else names[verdict.test]


def test_of(verdict: Verdict) -> str:
    """The test, its p, and p as corrected in the family; empty where there is no p."""
    if verdict.p is None or verdict.p_holm is None:
        return ""
    said = f"{test_name(verdict)}, {claimed(verdict)}: {p_equals(verdict.p)}"
    if verdict.tests > 1:
        said += f", {p_equals(verdict.p_holm)} by Holm over the {verdict.tests} tests of '{verdict.family}'"
    return f"{said} (alpha {verdict.alpha:g})"


def decided(verdict: Verdict) -> str:
    """The verdict, by one of the words of `BOX`."""
    if verdict.decision == UNRESOLVED:
        return f"{DECIDED[UNRESOLVED]} with this {'control' if verdict.control else 'n'}"
    return DECIDED[verdict.decision]


def decision(verdict: Verdict) -> str:
    """The verdict and what it rests on, where p does not say so: 'not resolvable with this n (n = 4 is too small
    ...)'."""
    why = reason(verdict)
    return f"{decided(verdict)} ({why})" if why else decided(verdict)


def reason(verdict: Verdict) -> str:
    """What the decision rests on: the p of the opposite, or why it is not resolvable and what it would take; or ''."""
    needed = verdict.n_needed
    if verdict.decision == NO and verdict.p_opposite_holm is not None:
        return f"the other way {p_equals(verdict.p_opposite_holm)}{' by Holm' if verdict.tests > 1 else ''}"
    aside = against(verdict, verdict.direction, verdict.margin)  # type: ignore[arg-type]  # one of the directions
    across = f"the interval lies {_other_side(verdict)}" if aside else ""
    parts = []
    if verdict.decision == UNRESOLVED:
        takes = f"it takes {needed} replicates" if needed else ""
        parts = [verdict.why or _too_few(verdict), takes, "" if verdict.control else across]
    if verdict.decision == CLOSE:
        parts = [f"n would be {needed}" if needed else "", across and f"{across}, but not by Holm"]
    return "; ".join(part for part in parts if part)


def _too_few(verdict: Verdict) -> str:
    """'n = 4 is too small: p is 0.062 at least, above alpha 0.05'."""
    said = f"n = {verdict.n} is too small"
    if verdict.p_holm_smallest is None:
        return said
    by = f" by Holm over {verdict.tests} tests" if verdict.tests > 1 else ""
    return f"{said}: p is {verdict.p_holm_smallest:.2g} at least{by}, above alpha {verdict.alpha:g}"


def _other_side(verdict: Verdict) -> str:
    """Where an interval lies that speaks against the claim."""
    if verdict.direction == "same":
        return "outside the margin"
    if not verdict.margin:
        return "on the other side of zero"
    return f"beyond the margin of {amount(verdict.quantity, verdict.margin)}"


def changed(verdict: Verdict) -> str:
    """When the hypothesis was changed; empty where it was fixed before the first cell."""
    after = verdict.changed_after
    if after is None:
        return ""
    return "not recorded before the results" if after < 0 else f"changed after {after} cells"


def how(verdicts: Sequence[Verdict]) -> str:
    """What estimates, intervals and d of verdicts are, as far as they have any; a sentence, or ''."""
    results = [each for each in verdicts if each.difference is not None and not each.of_measure]
    measures = [each for each in verdicts if each.difference is not None and each.of_measure]
    said = []
    if results:
        said.append("mean of the paired differences over replicates")
        if any(each.low is not None for each in results):
            said[-1] += " with its 95% t-interval, d in standard deviations of the differences"
    if measures:
        said.append("of measures the difference of means over pairs of replicates")
        if any(each.low is not None for each in measures):
            said[-1] += " with the 95% interval of a U-statistic"
    if any(each.lenders for each in verdicts):
        said.append(
            "where replicates take from the same donors or ladders, what is decided holds for these, not in general"
        )
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def match(found: Matching) -> str:
    """The sparsest matching level in a sentence, with what single replicates say."""
    what = (
        f"{found.quantity.replace('_', ' ')} not more than {amount(found.quantity, found.margin)} "
        f"{'below' if found.direction == 'greater' else 'above'} dense"
    )
    if not found.steps and not found.margin:
        return f"Sparsest matching level: {found.why}"
    if not found.steps:
        return f"Sparsest matching level ({what}): {found.why}"
    if found.density is None:
        said = f"not resolvable with this n ({found.why})" if "too small" in found.why else "none"
    else:
        said = f"{'at least down to ' * found.at_end}{percent(found.density, 1)} (level {found.level})"
    said = (
        f"Sparsest matching level ({what}, {found.test} at {found.alpha:g} down the ladder, n = {found.n}): "
        f"{said}{_collapsed(found)}"
    )
    if found.typical is None or not found.of_replicate:
        return said
    mean, low, high = found.typical
    interval = "" if low is None or high is None else f" [{percent(low, 1)}, {percent(high, 1)}]"
    each = ", ".join(
        f"{'≤ ' * (r in found.open_ended)}{percent(density, 1)}" for r, density in found.of_replicate.items()
    )
    most = "at most " * bool(found.open_ended)
    return f"{said}; replicate by replicate {each}, on average {most}{percent(mean, 1)}{interval}"


def _collapsed(found: Matching) -> str:
    """What stopped the ladder, where tickets collapsed at the first level that fails."""
    failing = next((step for step in found.steps if not step.holds), None)
    if failing is None or not failing.collapsed:
        return ""
    return f", below which {failing.collapsed} of {failing.n} collapsed"


def small(p: float) -> str:
    """A p-value as people write it: '0.031', '< 0.001'."""
    return f"{p:.2g}" if p >= 1e-3 else "< 0.001"


def p_equals(p: float) -> str:
    """'p = 0.031', 'p < 0.001'."""
    return f"p = {small(p)}" if p >= 1e-3 else f"p {small(p)}"
