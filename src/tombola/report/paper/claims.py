"""The claims of a study and what came of them: tables by family, sentences on what has to be read, the conclusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from tombola.alignment.words import RAW
from tombola.analysis.verdicts import plain, wording
from tombola.analysis.verdicts.answers import by_family, counts, families, sentences, tally
from tombola.analysis.verdicts.verdict import Verdict
from tombola.analysis.verdicts.wording import DECIDED
from tombola.report.paper.document import Block, Grid, Paragraph, bullets, paragraph
from tombola.report.paper.material import Material
from tombola.stats.verdict import CLOSE, DECISIONS, NO, UNRESOLVED, UNTESTED, YES
from tombola.study.claims import MeasureAt
from tombola.text import counted, listed, percent

MOST_NAMES = 8
"""Claims of one decision that a sentence names; of more it says how many they are."""
SENTENCES = {
    YES: "This was found",
    NO: "The data speak against this",
    CLOSE: "This is too close to say",
    UNRESOLVED: "This is not resolvable",
    UNTESTED: "This was not tested",
}
"""Decision -> how a sentence on one claim begins."""


def verdicts_in_words(m: Material) -> list[Block]:
    """What came of the claims: how many came out how, sentences on those that are `told`, and a table a family; of the
    sparsest matching level a sentence."""
    found = m.verdicts
    if found is None:
        return []
    matching = [paragraph(f"{wording.match(found.matching)}.")] if m.study.levels else []
    if not found.verdicts:
        said = (
            "The study recorded no hypotheses, so nothing is decided here; intervals describe single comparisons and "
            "are not corrected for their number."
        )
        return [paragraph(said), *matching]
    by_claim = groupby(told(found.verdicts), lambda each: (each.family, each.name))
    sentences_on = [_claim_in_words(list(tests)) for _, tests in by_claim]
    return [
        paragraph(f"{tally(found.verdicts)} {wording.MEANING} {wording.how(found.verdicts)}"),
        *([bullets(sentences_on)] if sentences_on else []),
        *(_table(each, m) for each in families(found.verdicts)),
        *matching,
    ]


def told(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that have a sentence among the results: the family of the first claim, and whatever went otherwise than
    claimed; those that answer a question have theirs at the front."""
    return [
        each
        for each in verdicts
        if not each.answers and (each.family == verdicts[0].family or each.decision != YES)
    ]


def _claim_in_words(verdicts: Sequence[Verdict]) -> str:
    """The first test of a claim as it is, further densities in short."""
    first, *others = verdicts
    return " ".join([_verdict_in_words(first), *map(_further, others)])


def _further(verdict: Verdict) -> str:
    """'At 1.6%: too close to say (n would be 248), +0.14 pp [-0.34, +0.63], p = 0.25, 1 by Holm.'"""
    if verdict.difference is None:
        return f"{SENTENCES[verdict.decision]}: {wording.estimate(verdict)}."
    said = f"{_capital(_place(verdict))}: {wording.decision(verdict)}, {wording.difference(verdict)}"
    if verdict.p is None or verdict.p_holm is None:
        return f"{said}."
    holm = f", {wording.small(verdict.p_holm)} by Holm" if verdict.tests > 1 else ""
    return f"{said}, {wording.p_equals(verdict.p)}{holm}."


def _verdict_in_words(verdict: Verdict) -> str:
    claim = verdict.claim.rstrip(".")
    reason, test, changed = wording.reason(verdict), wording.test_of(verdict), wording.changed(verdict)
    by = wording.decided(verdict).removeprefix(DECIDED[UNRESOLVED]) if verdict.decision == UNRESOLVED else ""
    return (
        f"{claim}. {SENTENCES[verdict.decision]}{by}{f' ({reason})' if reason else ''}: {wording.estimate(verdict)}."
        + (f" {_capital(test)}." if test else "")
        + (f" The hypothesis was {changed}." if changed else "")
    )


def _table(verdicts: Sequence[Verdict], m: Material) -> Grid:
    """A family: a claim once, then its tests, a row each."""
    first = verdicts[0]
    name = f" of family ‘{first.family}’" if m.verdicts and len(families(m.verdicts.verdicts)) > 1 else ""
    numbers = sorted({each.n for each in verdicts})
    n = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    shared = {_quantity(each) for each in verdicts}
    quantity = f" Differences are of {shared.pop()}." if len(shared) == 1 else ""
    by = listed(sorted({wording.test_name(each) for each in verdicts if each.p is not None}))
    p = f" p is by {by}, as such and corrected by Holm over the {counted(first.tests, 'test')}." if by else ""
    caption = (
        f"The claims{name}: {counts(verdicts)}, at alpha {first.alpha:g}, n = {n}."
        f"{quantity}{_alignments(verdicts)}{p}"
    )
    head = ("hypothesis", "density", "difference [95% interval]", "d", "p", "p (Holm)", "decision")
    return Grid(head, tuple(_rows(verdicts, bool(quantity))), (caption,), stays=True)


def _rows(verdicts: Sequence[Verdict], quantity_known: bool) -> Iterator[tuple[str, ...]]:
    """The rows of a family; of further tests of one claim the first cell is empty."""
    before = ""
    for each in verdicts:
        density, p, corrected = _density(each), each.p, each.p_holm
        asked = _asked(each, quantity_known)
        yield (
            "" if asked == before else asked,
            percent(density) if density else "–",
            wording.difference(each),
            f"{each.effect:.2f}" if each.effect is not None else "–",
            wording.small(p) if p is not None else "–",
            wording.small(corrected) if corrected is not None else "–",
            wording.decided(each),
        )
        before = asked


def _asked(verdict: Verdict, quantity_known: bool) -> str:
    """'Tickets win (beats-reinit: ticket less reinit > 0).', with what it is of and what it needs."""
    of = "" if quantity_known else f"{_quantity(verdict)} of "
    needs = f", if {verdict.needs} came out" if verdict.needs else ""
    changed = f"; {wording.changed(verdict)}" if wording.changed(verdict) else ""
    claimed = f"{of}{wording.contrast(verdict.arms)} {_bound(verdict)}"
    return f"{verdict.claim.rstrip('.')} ({verdict.name}: {claimed}{needs}{changed})."


def _bound(verdict: Verdict) -> str:
    """What is claimed of the difference: '> 0', '> -0.50 pp', 'within ±0.50 pp', '≠ 0'."""
    margin = wording.amount(verdict.quantity, verdict.margin) if verdict.margin else "0"
    if verdict.direction == "same":
        return f"within ±{margin}"
    if verdict.direction == "greater":
        return f"> {'-' * bool(verdict.margin)}{margin}"
    return f"< {margin}" if verdict.direction == "less" else f"≠ {margin}"


def _quantity(verdict: Verdict) -> str:
    """'early stop test accuracy', 'jaccard in fc1', 'sign agreement at the start'."""
    if not verdict.of_measure:
        return verdict.quantity.replace("_", " ")
    layer = plain.layer(verdict)
    name = MeasureAt.parse(verdict.quantity).name.replace("-", " ")
    return f"{name}{plain.side(verdict)}{f' in {layer}' if layer else ''}"


def _alignments(verdicts: Sequence[Verdict]) -> str:
    """How the units of networks were matched for measures; '' where nothing was measured."""
    found = sorted({MeasureAt.parse(each.quantity).aligned for each in verdicts if each.of_measure})
    known = ["of units as they come" if name == RAW else f"under the alignment {name}" for name in found]
    return f" Measures are taken {listed(known)}." if known else ""


def discussion(m: Material) -> Paragraph:
    """What the decisions amount to, and what they do not reach."""
    verdicts, said = m.verdicts.verdicts if m.verdicts else (), []
    for decision in DECISIONS:
        names = [_named(each) for each in verdicts if each.decision == decision]
        if names:
            which = ", ".join(names) if len(names) <= MOST_NAMES or decision != YES else f"{len(names)} tests"
            said.append(f"“{_capital(DECIDED[decision])}”: {which}.")
    said.append(
        f"All of this is of one network ({m.study.model.name}) on one data set ({m.study.data.name}), over "
        f"{counted(m.study.replicates, 'replicate')}: the intervals cover what initial weights, split and data order "
        "do, and nothing else."
    )
    return paragraph(" ".join(said))


def conclusion(m: Material) -> Paragraph:
    """The questions with their answers, the claims that are `told` by decision, and counts of the others by family."""
    found = m.verdicts.verdicts if m.verdicts else ()
    if not found:
        return paragraph("This study recorded no hypotheses and so concludes nothing by itself.")

    def claims(decision: str) -> str:
        these = [each for each in told(found) if each.decision == decision]
        return " ".join(f"{each.claim.rstrip('.')} ({_place(each)})." for each in these)

    said = [f"{each.asked} {_capital(each.word)}." for each in sentences(found)]
    if not any(each.decision == YES for each in found):
        said.append("No claim of this study was shown by this run.")
    if shown := claims(YES):
        said.append(f"In this setting the following was found as it had been claimed. {shown}")
    if opposed := claims(NO):
        said.append(f"The data speak against the following claims. {opposed}")
    said.append(by_family(found) if len(families(found)) > 1 else tally(found))
    return paragraph(" ".join(said))


def _density(verdict: Verdict) -> float | None:
    """Where a claim was asked, or was to be."""
    return verdict.density if verdict.density is not None else verdict.wanted


def _named(verdict: Verdict) -> str:
    return f"{verdict.name} ({_place(verdict)})"


def _place(verdict: Verdict) -> str:
    density = _density(verdict)
    return f"at {percent(density)}" if density else "at no density"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
