"""What came of the claims in words and tables: nothing says more than its decision does."""

from __future__ import annotations

from collections import Counter

from tombola.report.blocks import Block, Grid, Items, Paragraph, Words, paragraph
from tombola.report.figures import listed
from tombola.report.material import Material
from tombola.report.tables import percent
from tombola.study import Verdict, Verdicts, wording
from tombola.study.deciding import DECISIONS, NO, OPPOSITE, UNRESOLVED, UNTESTED, YES
from tombola.study.wording import DECIDED

SENTENCES = {
    YES: "This was found",
    OPPOSITE: "The opposite was found",
    NO: "This was not shown",
    UNRESOLVED: "This is not resolved",
    UNTESTED: "This was not tested",
}
"""Decision -> how a sentence on one claim begins."""


def verdicts_in_words(m: Material) -> list[Block]:
    """What came of each claim: a sentence for each and a table; of the sparsest matching level a sentence."""
    found = m.verdicts
    if found is None:
        return []
    blocks: list[Block] = []
    if not found.verdicts:
        blocks.append(
            paragraph(
                "The study recorded no hypotheses, so nothing is decided here; intervals describe single comparisons "
                "and are not corrected for their number."
            )
        )
    else:
        blocks += [
            paragraph(f"{tally(found)} {wording.MEANING}"),
            Items(tuple(_verdict_in_words(each) for each in found.verdicts)),
            Grid(
                ("hypothesis", "density", "difference [95% interval]", "n", "p", "p (Holm)", "decision"),
                tuple(_verdict_row(each) for each in found.verdicts),
                (
                    "The hypotheses and their decisions: mean paired difference over replicates with its 95% "
                    "t-interval; p as such, and corrected within its family.",
                ),
                left=1,
            ),
        ]
    if m.study.levels:
        blocks.append(paragraph(f"{wording.match(found.matching)}."))
    return blocks


def tally(found: Verdicts) -> str:
    """How many tests came out how."""
    counts = Counter(each.decision for each in found.verdicts)
    parts = [
        f"{counts[each]} {'is' if counts[each] == 1 else 'are'} “{DECIDED[each]}”"
        for each in DECISIONS
        if counts[each]
    ]
    total = len(found.verdicts)
    return f"Of {total} test{'s' * (total > 1)} of the claims, {listed(parts)}."


def _verdict_in_words(verdict: Verdict) -> Words:
    claim = verdict.hypothesis.claim.rstrip(".")
    reason = wording.reason(verdict)
    said = f"{SENTENCES[verdict.decision]}{f' ({reason})' if reason else ''}"
    changed = wording.changed(verdict)
    parts = [
        f"{claim}. {said}: {wording.estimate(verdict)}.",
        f"{_capital(wording.test_of(verdict))}." if wording.test_of(verdict) else "",
        f"The hypothesis was {changed}." if changed else "",
    ]
    return (" ".join(part for part in parts if part),)


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    claim, place = verdict.hypothesis, verdict.asked
    density = place.density if place.density is not None else place.wanted
    p, corrected = verdict.answer.found.p, verdict.p_holm
    return (
        claim.name,
        percent(density) if density else "–",
        wording.difference(verdict),
        str(verdict.answer.n),
        wording.small(p) if p is not None else "–",
        wording.small(corrected) if corrected is not None else "–",
        DECIDED[verdict.decision],
    )


def expectations_table(m: Material) -> list[Block]:
    """Published numbers: paper, here, agrees?"""
    if m.verdicts is None or not m.verdicts.expected:
        return []
    rows = []
    for checked in m.verdicts.expected:
        what, paper, here = checked.parts
        agrees = {True: "yes", False: "no", None: "–"}[checked.agrees]
        rows.append((what, paper, here.removeprefix("here "), agrees))
    agreed = Counter(checked.agrees for checked in m.verdicts.expected)
    said = (
        f"Of {len(rows)} published number{'s' * (len(rows) > 1)}, {agreed[True]} agree{'s' * (agreed[True] == 1)} with "
        f"what was found here within the tolerance that the study states, {agreed[False]} "
        f"differ{'s' * (agreed[False] == 1)}, and {agreed[None]} {'was' if agreed[None] == 1 else 'were'} not measured."
    )
    caption = ("Published numbers beside those of this run.",)
    return [paragraph(said), Grid(("what", "paper", "here", "agrees?"), tuple(rows), caption, left=4)]


def discussion(m: Material) -> Paragraph:
    """What the decisions amount to, and what they do not reach."""
    said = []
    if m.verdicts and m.verdicts.verdicts:
        for decision in DECISIONS:
            names = [_named(each) for each in m.verdicts.verdicts if each.decision == decision]
            if names:
                said.append(f"“{_capital(DECIDED[decision])}”: {', '.join(names)}.")
    where = f"one network ({m.study.model.name}) on one data set ({m.study.data.name})"
    said.append(
        f"All of this is of {where}, over {m.study.replicates} replicate{'s' * (m.study.replicates > 1)}: the "
        "intervals cover what initial weights, split and data order do, and nothing else."
    )
    return paragraph(" ".join(said))


def conclusion(m: Material) -> Paragraph:
    """What was decided, and no more."""
    found = m.verdicts.verdicts if m.verdicts else ()
    shown, opposed = (
        " ".join(
            f"{each.hypothesis.claim.rstrip('.')} ({_place(each)})."
            for each in found
            if each.decision == which
        )
        for which in (YES, OPPOSITE)
    )
    if not found:
        return paragraph("This study recorded no hypotheses and so concludes nothing by itself.")
    said = (
        f"In this setting the following was found as it had been claimed. {shown}"
        if shown
        else "No claim of this study was shown by this run."
    )
    if opposed:
        said += f" Of the following claims the opposite was found. {opposed}"
    rest = sum(each.decision not in (YES, OPPOSITE) for each in found)
    if rest and shown:
        said += (
            f" The other {rest} test{'s' * (rest > 1)} did not come out as claimed or could not be resolved."
        )
    return paragraph(said)


def _named(verdict: Verdict) -> str:
    return f"{verdict.hypothesis.name} ({_place(verdict)})"


def _place(verdict: Verdict) -> str:
    density = verdict.asked.density if verdict.asked.density is not None else verdict.asked.wanted
    return f"at {percent(density)}" if density else "at no density"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
