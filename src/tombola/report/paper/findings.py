"""Results in words and tables, composed by rule: nothing says more than its interval and its decision do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.metrics import ACCURACY, Metric
from tombola.report.figures.curves import chosen_levels
from tombola.report.figures.panels import leading
from tombola.report.page.page import notes
from tombola.report.page.tables import level_rows
from tombola.report.paper.document import Block, Grid, Note, bullets, paragraph
from tombola.report.paper.material import Material
from tombola.report.tables import Tables
from tombola.runs.stops import ends
from tombola.stats.intervals import FEWEST
from tombola.text import counted, percent, ticket_first

MOST_IN_PROSE = 5
"""Arms of a level that are told in a sentence; the table of all levels has the others."""


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
    """The arms that prose speaks of: all, or of many those that figures draw first, and the ticket."""
    return {*leading(tables.results, MOST_IN_PROSE), TICKET}


def _level_in_words(tables: Tables, level: int, told: Collection[str]) -> str:
    def means(value: str) -> dict[str, Mapping[str, Any]]:
        return {
            row["arm"]: row for row in tables.summaries[value].filter(pl.col("level") == level).to_dicts()
        }

    metric = tables.metric
    accuracy, gap = means(metric.early_stop), means(metric.gap)
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
    values = {arm: _value(accuracy[arm], metric.scale, metric.digits, metric.unit) for arm in arms}
    if level == 0:
        arm = arms[0]
        said = f"The dense network had a test {metric.noun} of {values[arm]} at early stop {n[arm]}"
        if arm in stops:
            said += f", which came after {stops[arm]}"
        if arm in gap:
            apart = _value(gap[arm], metric.scale, metric.digits)
            where = f"{apart} points above" if metric.more_is_better else f"{apart} below"
            said += f"; its training {metric.noun} at the end was {where} its test {metric.noun}"
        return f"{said}."
    parts = [f"{arm} {values[arm]}{f' after {stops[arm]}' if arm in stops else ''} {n[arm]}" for arm in arms]
    density = percent(accuracy[arms[0]]["density"])
    what = "accuracies" if metric is ACCURACY else f"{metric.noun}s"
    return f"With {density} of the weights (level {level}) the {what} at early stop were: {'; '.join(parts)}."


def _last(count: tuple[int, int] | None) -> str:
    """How many of the trainings did not reach it; empty where all did."""
    return f" (no minimum before the end in {count[0]} of {count[1]})" if count and count[0] else ""


def _value(row: Mapping[str, Any], scale: float, digits: int, unit: str = "") -> str:
    """'96.12% [95.80, 96.44]', without an interval where there is none."""
    mean, *interval = (
        None if row[end] is None else f"{round(scale * row[end], digits) + 0.0:,.{digits}f}"  # + 0.0: no "-0"
        for end in ("mean", "low", "high")
    )
    return f"{mean}{unit}" if None in interval else f"{mean}{unit} [{', '.join(filter(None, interval))}]"


def level_columns(metric: Metric) -> dict[str, str]:
    """Key of a row -> its head."""
    return {
        "level": "level",
        "arm": "arm",
        "density": "density",
        "n": "n",
        "early_stop_test": f"test {metric.head} at early stop",
        "final_test": f"test {metric.head} at end",
        "early_stop_iteration": "early-stop iteration",
    }


INTERVAL = ", ± half of the 95% t-interval, or the interval itself where it is cut at 0 or 100%"


def main_table(m: Material) -> list[Block]:
    """The arms that prose speaks of at the levels that it names."""
    return [] if m.tables is None else level_table(m, main_levels(m), told(m.tables))


def level_table(
    m: Material, levels: Sequence[int] | None = None, arms: Collection[str] | None = None
) -> list[Block]:
    """Every arm at every level, or these arms and levels."""
    rows = [] if m.tables is None else level_rows(m.tables)
    columns = level_columns(ACCURACY if m.tables is None else m.tables.metric)
    cells = tuple(
        tuple(row.get(key, "–") for key in columns)
        for row in rows
        if (levels is None or int(row["level"]) in levels) and (arms is None or row["arm"] in arms)
    )
    if m.tables is None or not cells:
        return []
    means = f"Means over n replicates{INTERVAL if m.tables.replicates() >= FEWEST else ''}."
    return [Grid(tuple(columns.values()), cells, (f"{_best(m.tables)}{means}",), left=2)]


def _best(tables: Tables) -> str:
    """What the table says at once: where the ticket is best, beside dense; '' where that is not known."""
    metric = tables.metric
    frame = tables.summaries[metric.early_stop].filter(pl.col("arm") == TICKET, pl.col("mean").is_finite())
    dense, below = (
        frame.filter(pl.col("level") == 0),
        frame.filter(pl.col("level") > 0).sort("mean", descending=not metric.more_is_better),
    )
    if dense.is_empty() or below.is_empty():
        return ""
    best = below.row(-1, named=True)
    return (
        f"The ticket is {'most accurate' if metric is ACCURACY else 'best'} at {percent(best['density'])} with "
        f"{metric.shown(best['mean'])}, beside {metric.shown(dense['mean'][0])} of the dense network. "
    )


def main_levels(m: Material) -> list[int]:
    """The levels that the prose names."""
    if m.tables is None:
        return []
    known = m.tables.results.filter((pl.col("status") == "ok") & pl.col("density").is_not_null())
    return [] if known.is_empty() else chosen_levels(known)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


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
