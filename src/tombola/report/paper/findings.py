"""Results in words and tables, composed by rule: nothing says more than its interval and its decision do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from tombola.analysis import wording
from tombola.analysis.verdict import Verdict
from tombola.analysis.verdicts import Verdicts
from tombola.analysis.wording import DECIDED
from tombola.lottery.arms.catalog import TICKET
from tombola.report.figures.curves import chosen_levels
from tombola.report.page.page import notes
from tombola.report.page.tables import level_rows
from tombola.report.paper.document import Block, Grid, Note, Paragraph, bullets, paragraph
from tombola.report.paper.material import Material
from tombola.report.tables import Tables
from tombola.runs.stops import ends
from tombola.stats.intervals import FEWEST
from tombola.stats.verdict import CLOSE, DECISIONS, NO, UNRESOLVED, UNTESTED, YES
from tombola.text import counted, listed, percent, ticket_first

MOST_IN_PROSE = 4
"""Arms of a level that are told in a sentence; of more, those that go down the ladder, and the table has all."""


def warnings(m: Material) -> list[Note]:
    """What a reader must know before the numbers."""
    said = [] if m.tables is None else notes(m.tables)
    # What the tables have said, and that there is no hypothesis, is not said again.
    known = (
        "This run is not finished",
        "There is one replicate",
        "There are two replicates",
        "This study has no hyp",
    )
    said += [note for note in (m.verdicts.notes if m.verdicts else ()) if not note.startswith(known)]
    return [Note(note) for note in dict.fromkeys(said)]


def levels_in_words(m: Material) -> list[Block]:
    """The means of a few levels, chosen by rule: dense, nearest to 50% and 21% (with controls), and the sparsest."""
    assert m.tables is not None
    arms = told(m.tables)
    sentences = [sentence for level in main_levels(m) if (sentence := _level_in_words(m.tables, level, arms))]
    if not sentences:
        return [paragraph("No cell has a number yet.")]
    return [bullets(sentences)]


def told(tables: Tables) -> set[str]:
    """The arms that prose speaks of: all, or of many those of more than one level below dense, and the ticket."""
    below = tables.results.filter(pl.col("level") > 0).group_by("arm").agg(pl.col("level").n_unique())
    arms = set(below["arm"])
    if len(arms) <= MOST_IN_PROSE:
        return arms | {TICKET}
    return {arm for arm, levels in below.iter_rows() if levels > 1} | {TICKET}


def _level_in_words(tables: Tables, level: int, told: Collection[str]) -> str:
    def means(value: str) -> dict[str, Mapping[str, Any]]:
        return {
            row["arm"]: row for row in tables.summaries[value].filter(pl.col("level") == level).to_dicts()
        }

    accuracy, gap = means("early_stop_test_accuracy"), means("gap")
    at_end = ends(tables.results)
    stops = {
        arm: f"{_value(row, 1, 0)} iterations{_last(at_end.get((arm, level)))}"
        for arm, row in means("early_stop_iteration").items()
    }
    finite = (arm for arm, row in accuracy.items() if arm in told and _finite(row["mean"]))
    arms = sorted(finite, key=ticket_first)
    if not arms:
        return ""
    n = {arm: f"(n = {accuracy[arm]['n']})" for arm in arms}
    values = {arm: _value(accuracy[arm], 100, 2, "%") for arm in arms}
    if level == 0:
        arm = arms[0]
        said = f"The dense network had a test accuracy of {values[arm]} at early stop {n[arm]}"
        if arm in stops:
            said += f", which came after {stops[arm]}"
        if arm in gap:
            above = _value(gap[arm], 100, 2)
            said += f"; its training accuracy at the end was {above} points above its test accuracy"
        return f"{said}."
    parts = [f"{arm} {values[arm]}{f' after {stops[arm]}' if arm in stops else ''} {n[arm]}" for arm in arms]
    density = percent(accuracy[arms[0]]["density"])
    return f"With {density} of the weights (level {level}) the accuracies at early stop were: {'; '.join(parts)}."


def _last(count: tuple[int, int] | None) -> str:
    """How many of the trainings did not reach it; empty where all did."""
    return f" (not reached in {count[0]} of {count[1]})" if count and count[0] else ""


def _value(row: Mapping[str, Any], scale: float, digits: int, unit: str = "") -> str:
    """'96.12% [95.80, 96.44]', without an interval where there is none."""
    mean, *interval = (
        None if row[end] is None else f"{round(scale * row[end], digits) + 0.0:,.{digits}f}"  # + 0.0: no "-0"
        for end in ("mean", "low", "high")
    )
    return f"{mean}{unit}" if None in interval else f"{mean}{unit} [{', '.join(filter(None, interval))}]"


LEVEL_COLUMNS = {
    "level": "level",
    "arm": "arm",
    "density": "density",
    "n": "n",
    "early_stop_test_accuracy": "test % at early stop",
    "final_test_accuracy": "test % at end",
    "early_stop_iteration": "early-stop iteration",
}
INTERVAL = ", ± half of the 95% t-interval, or the interval itself where it is cut at 0 or 100%"


def level_table(m: Material, levels: Sequence[int] | None = None) -> list[Block]:
    """Every arm at every level, or at these levels."""
    rows = [] if m.tables is None else level_rows(m.tables)
    cells = tuple(
        tuple(row.get(key, "–") for key in LEVEL_COLUMNS)
        for row in rows
        if levels is None or int(row["level"]) in levels
    )
    if m.tables is None or not cells:
        return []
    caption = (f"Means over n replicates{INTERVAL if m.tables.replicates() >= FEWEST else ''}.",)
    return [Grid(tuple(LEVEL_COLUMNS.values()), cells, caption, left=2)]


def main_levels(m: Material) -> list[int]:
    """The levels that the prose names."""
    if m.tables is None:
        return []
    known = m.tables.results.filter((pl.col("status") == "ok") & pl.col("density").is_not_null())
    return [] if known.is_empty() else chosen_levels(known)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


SENTENCES = {
    YES: "This was found",
    NO: "The data speak against this",
    CLOSE: "This is too close to say",
    UNRESOLVED: "This is not resolvable",
    UNTESTED: "This was not tested",
}
"""Decision -> how a sentence on one claim begins."""


def verdicts_in_words(m: Material) -> list[Block]:
    """What came of each claim: a sentence for each and a table; of the sparsest matching level a sentence."""
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
    how = wording.how(found.verdicts)
    # Those that answer a question have their sentence at the front.
    open_ones = [each for each in found.verdicts if not each.answers]
    caption = f"The hypotheses and their decisions. {how} p as such, and corrected within its family."
    return [
        paragraph(f"{tally(found)} {wording.MEANING}"),
        *([bullets(map(_verdict_in_words, open_ones))] if open_ones else []),
        Grid(
            ("hypothesis", "density", "difference [95% interval]", "n", "p", "p (Holm)", "decision"),
            tuple(map(_verdict_row, found.verdicts)),
            (caption,),
        ),
        *matching,
    ]


def tally(found: Verdicts) -> str:
    """How many tests came out how."""
    counts = Counter(each.decision for each in found.verdicts)
    parts = [
        f"{counts[each]} {'is' if counts[each] == 1 else 'are'} “{DECIDED[each]}”"
        for each in DECISIONS
        if counts[each]
    ]
    return f"Of {counted(len(found.verdicts), 'test')} of the claims, {listed(parts)}."


def _verdict_in_words(verdict: Verdict) -> str:
    claim = verdict.claim.rstrip(".")
    reason, test, changed = wording.reason(verdict), wording.test_of(verdict), wording.changed(verdict)
    by = wording.decided(verdict).removeprefix(DECIDED[UNRESOLVED]) if verdict.decision == UNRESOLVED else ""
    return (
        f"{claim}. {SENTENCES[verdict.decision]}{by}{f' ({reason})' if reason else ''}: {wording.estimate(verdict)}."
        + (f" {_capital(test)}." if test else "")
        + (f" The hypothesis was {changed}." if changed else "")
    )


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    density, p, corrected = _density(verdict), verdict.p, verdict.p_holm
    return (
        verdict.name,
        percent(density) if density else "–",
        wording.difference(verdict),
        str(verdict.n),
        wording.small(p) if p is not None else "–",
        wording.small(corrected) if corrected is not None else "–",
        wording.decided(verdict),
    )


def expectations_table(m: Material) -> list[Block]:
    """Published numbers: paper, here, agrees?"""
    if m.verdicts is None or not m.verdicts.expected:
        return []
    agrees = {True: "yes", False: "no", None: "–"}
    rows = tuple(
        (what, paper, here.removeprefix("here "), agrees[checked.agrees])
        for checked in m.verdicts.expected
        for what, paper, here in (checked.parts,)
    )
    counts = Counter(checked.agrees for checked in m.verdicts.expected)
    yes, no, unknown = counts[True], counts[False], counts[None]
    said = (
        f"Of {counted(len(rows), 'published number')}, {yes} agree{'s' * (yes == 1)} with what was found here within "
        f"the tolerance that the study states, {no} differ{'s' * (no == 1)}, and {unknown} "
        f"{'was' if unknown == 1 else 'were'} not measured."
    )
    caption = ("Published numbers beside those of this run.",)
    return [paragraph(said), Grid(("what", "paper", "here", "agrees?"), rows, caption, left=4)]


def discussion(m: Material) -> Paragraph:
    """What the decisions amount to, and what they do not reach."""
    verdicts, said = m.verdicts.verdicts if m.verdicts else (), []
    for decision in DECISIONS:
        names = [_named(each) for each in verdicts if each.decision == decision]
        if names:
            said.append(f"“{_capital(DECIDED[decision])}”: {', '.join(names)}.")
    said.append(
        f"All of this is of one network ({m.study.model.name}) on one data set ({m.study.data.name}), over "
        f"{counted(m.study.replicates, 'replicate')}: the intervals cover what initial weights, split and data order "
        "do, and nothing else."
    )
    return paragraph(" ".join(said))


def conclusion(m: Material) -> Paragraph:
    """What was decided, and no more."""
    found = m.verdicts.verdicts if m.verdicts else ()
    if not found:
        return paragraph("This study recorded no hypotheses and so concludes nothing by itself.")

    def claims(decision: str) -> str:
        these = [each for each in found if each.decision == decision]
        return " ".join(f"{each.claim.rstrip('.')} ({_place(each)})." for each in these)

    said = "No claim of this study was shown by this run."
    if shown := claims(YES):
        said = f"In this setting the following was found as it had been claimed. {shown}"
    if opposed := claims(NO):
        said += f" The data speak against the following claims. {opposed}"
    rest = sum(each.decision not in (YES, NO) for each in found)
    if rest and shown:
        others = f"The other {rest} tests are" if rest > 1 else "The other test is"
        said += f" {others} too close to say, not resolvable or not tested."
    return paragraph(said)


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
