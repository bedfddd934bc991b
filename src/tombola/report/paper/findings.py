"""Results in words and tables, composed by rule: nothing says more than its interval and its decision do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tombola.alignment.words import RAW, WHOLE
from tombola.analysis import wording
from tombola.analysis.decide import DECISIONS, NO, OPPOSITE, UNRESOLVED, UNTESTED, YES, Verdict
from tombola.analysis.verdicts import Verdicts
from tombola.analysis.wording import DECIDED
from tombola.lottery.arms.catalog import TICKET
from tombola.report.figures.curves import chosen_levels
from tombola.report.page.page import notes
from tombola.report.page.tables import level_rows
from tombola.report.paper.document import Block, Grid, Items, Note, Paragraph, Words, paragraph
from tombola.report.paper.material import Material
from tombola.runs.stops import ends
from tombola.stats.intervals import FEWEST
from tombola.text import listed, percent

LEVEL_HEAD = ("level", "arm", "density", "n", "test % at early stop", "test % at end", "early-stop iteration")
MOST_DECISIONS = 24
"""Rows of the table of comparisons; the others are in the run's folder."""


def warnings(m: Material) -> list[Block]:
    """What a reader must know before the numbers."""
    said = [] if m.tables is None else notes(m.tables)
    said += [note for note in (m.verdicts.notes if m.verdicts else ()) if not _known(note)]
    return [Note(note) for note in dict.fromkeys(said)]


def _known(note: str) -> bool:
    """Whether a note of the verdicts says what `notes` of the tables says, or that there is no hypothesis."""
    return note.startswith(
        (
            "This run is not finished",
            "There is one replicate",
            "There are two replicates",
            "This study has no hyp",
        )
    )


def levels_in_words(m: Material) -> list[Block]:
    """The means of a few levels, chosen by rule: dense, nearest to 50% and 21% (with controls), and the sparsest."""
    assert m.tables is not None
    frame = m.tables.results.filter((pl.col("status") == "ok") & pl.col("density").is_not_null())
    means = {
        value: {(row["level"], row["arm"]): row for row in m.tables.summaries[value].iter_rows(named=True)}
        for value in ("early_stop_test_accuracy", "early_stop_iteration", "gap")
    }
    at_end = ends(frame)
    sentences = [
        sentence
        for level in (chosen_levels(frame) if not frame.is_empty() else [])
        if (sentence := _level_in_words(level, means, at_end))
    ]
    if not sentences:
        return [paragraph("No cell has a number yet.")]
    return [Items(tuple((sentence,) for sentence in sentences))]


Rows = Mapping[tuple[int, str], Mapping[str, Any]]


def _level_in_words(
    level: int, means: Mapping[str, Rows], at_end: Mapping[tuple[str, int], tuple[int, int]]
) -> str:
    accuracy, stop, gap = (
        means[value] for value in ("early_stop_test_accuracy", "early_stop_iteration", "gap")
    )
    arms = sorted(
        (arm for at, arm in accuracy if at == level and _finite(accuracy[at, arm]["mean"])), key=_first
    )
    if not arms:
        return ""
    if level == 0:
        row = accuracy[0, arms[0]]
        said = f"The dense network had a test accuracy of {_value(row, 100, 2, '%')} at early stop (n = {row['n']})"
        if (0, arms[0]) in stop:
            said += f", which came after {_value(stop[0, arms[0]], 1, 0)} iterations{_last(at_end.get((arms[0], 0)))}"
        if (0, arms[0]) in gap:
            above = _value(gap[0, arms[0]], 100, 2)
            said += f"; its training accuracy at the end was {above} points above its test accuracy"
        return said + "."
    parts = []
    for arm in arms:
        row = accuracy[level, arm]
        last = _last(at_end.get((arm, level)))
        after = f" after {_value(stop[level, arm], 1, 0)} iterations{last}" if (level, arm) in stop else ""
        parts.append(f"{arm} {_value(row, 100, 2, '%')}{after} (n = {row['n']})")
    density = percent(accuracy[level, arms[0]]["density"])
    return f"With {density} of the weights (level {level}) the accuracies at early stop were: {'; '.join(parts)}."


def _last(count: tuple[int, int] | None) -> str:
    """How many of the trainings stopped at the end of training; empty where none did."""
    return f" (the last evaluation in {count[0]} of {count[1]})" if count and count[0] else ""


def _value(row: Mapping[str, Any], scale: float, digits: int, unit: str = "") -> str:
    """'96.12% [95.80, 96.44]', without an interval where there is none."""

    def shown(end: float) -> str:
        return f"{round(scale * end, digits) + 0.0:,.{digits}f}"  # + 0.0: no "-0"

    mean = f"{shown(row['mean'])}{unit}"
    if row["low"] is None or row["high"] is None:
        return mean
    return f"{mean} [{shown(row['low'])}, {shown(row['high'])}]"


def decisions_table(m: Material) -> list[Block]:
    """What separates the arms by structure, on whole networks at the sparsest density; a sentence where nothing was
    compared."""
    frame = m.decisions
    if frame is not None:
        whole = (pl.col("layer") == WHOLE) & (pl.col("aligned") == RAW) & pl.col("difference").is_finite()
        frame = frame.filter(whole)
    if frame is None or frame.is_empty():
        return []
    sparsest = float(frame["density"].min())  # type: ignore[arg-type]  # a frame of numbers, not empty
    here = frame.filter(pl.col("density") == sparsest).sort("measure", "side", "arm_b")
    rows = [_decision_row(row) for row in here.iter_rows(named=True)]
    left = len(rows) - MOST_DECISIONS
    more = (
        f"Other densities and layers{f', and {left} more rows,' if left > 0 else ''} are in the run's folder"
    )
    said = (
        f"The table holds the structure of tickets against that of their controls at {percent(sparsest)}, for whole "
        f"networks. {more} (decisions.parquet). Unless a p is given as corrected, rows describe: so many "
        "are bound to hold small p-values by chance."
    )
    caption = (
        "Structure of tickets less that of controls, each beyond what chance gives; difference with its 95% interval "
        "(jackknife over replicates) and the p of a label-swapping test.",
    )
    head = ("measure", "against", "difference [95% interval]", "n", "p", "p (Holm)")
    return [paragraph(said), Grid(head, tuple(rows[:MOST_DECISIONS]), caption, left=2)]


def _decision_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{row['difference']:+.4f}"
    if _finite(row["low"]) and _finite(row["high"]):
        difference += f" [{row['low']:+.4f}, {row['high']:+.4f}]"
    measure = f"{row['measure']}{' at ' + row['side'] if row['side'] else ''}"
    p, corrected = ((wording.small(row[key]) if _finite(row[key]) else "–") for key in ("p", "p_holm"))
    return (measure, row["arm_b"], difference, str(row["replicates"]), p, corrected)


def level_table(m: Material, levels: Sequence[int] | None = None) -> list[Block]:
    """Every arm at every level, or at these levels."""
    if m.tables is None:
        return []
    rows = [row for row in level_rows(m.tables) if levels is None or int(row["level"]) in levels]
    if not rows:
        return []
    keys = (
        "level",
        "arm",
        "density",
        "n",
        "early_stop_test_accuracy",
        "final_test_accuracy",
        "early_stop_iteration",
    )
    cells = tuple(tuple(row.get(key, "–") for key in keys) for row in rows)
    caption = (f"Means over n replicates{INTERVAL if m.tables.replicates() >= FEWEST else ''}.",)
    return [Grid(LEVEL_HEAD, cells, caption, left=2)]


INTERVAL = ", ± half of the 95% t-interval, or the interval itself where it is cut at 0 or 100%"


def main_levels(m: Material) -> list[int]:
    """The levels that the prose names."""
    if m.tables is None:
        return []
    known = m.tables.results.filter((pl.col("status") == "ok") & pl.col("density").is_not_null())
    return [] if known.is_empty() else chosen_levels(known)


def _first(arm: str) -> tuple[bool, str]:
    return (arm != TICKET, arm)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


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
