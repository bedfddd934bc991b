"""The pictures of a study's answer: one a question, the estimates of the claims that answer it with their intervals."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.analysis.answers import label
from tombola.analysis.verdict import Verdict
from tombola.analysis.wording import DECIDED, estimate
from tombola.report.figures.base import Picture, figure
from tombola.report.tables import NothingToDrawError, Tables
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, UNTESTED, YES
from tombola.study.claims import PREFIX, QUESTIONS, Question

SECTION = "Answer"
COLOURS = {YES: "#1b7837", NO: "#b2182b", CLOSE: "#5b6675", UNRESOLVED: "#8a8f98", UNTESTED: "#8a8f98"}
"""The colour of each decision, as on the page."""
ROW = 26
"""Height of a claim in px."""
POINTS = "difference in percentage points"


def effects(tables: Tables, question: Question) -> Picture:
    """Mean paired difference of each claim on the question, with its 95% interval, beside no difference at all."""
    frame = tables.verdicts
    rows = [] if frame is None else frame.filter(pl.col("answers") == question).to_dicts()
    found = [Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__}) for row in rows]
    found = [each for each in found if each.difference is not None]
    if not found:
        raise NothingToDrawError("No claim on this question has an estimate.")
    values, names, units = [], [label(each) for each in found], [_unit(each) for each in found]
    for each, name, unit in zip(found, names, units, strict=True):
        scale = 100.0 if unit == POINTS else 1.0
        ends = [None if end is None else scale * end for end in (each.difference, each.low, each.high)]
        keys = {"what": name, "unit": unit, "decision": DECIDED[each.decision], "n": each.n}
        values.append(keys | dict(zip(("difference", "low", "high"), ends, strict=True)))
    base = alt.Chart().encode(
        y=alt.Y("what:N", sort=names, title=None, axis=alt.Axis(labelLimit=340, grid=False)),
        color=alt.Color(
            "decision:N",
            scale=alt.Scale(domain=[DECIDED[each] for each in COLOURS], range=list(COLOURS.values())),
            legend=None,
        ),
    )
    zero = alt.Chart().mark_rule(strokeDash=[3, 3], color="#8a8f98").encode(x=alt.datum(0))
    title = alt.X("difference:Q", title=" / ".join(dict.fromkeys(units)))
    hints = [alt.Tooltip(name) for name in ("what:N", "difference:Q", "low:Q", "high:Q", "n:Q", "decision:N")]
    layers = [zero, base.mark_point(filled=True, size=70).encode(x=title, tooltip=hints)]
    if any(value["low"] is not None for value in values):
        layers.insert(1, base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"))
    text = f"{QUESTIONS[question]} {'; '.join(estimate(each) for each in found)}."
    return alt.layer(
        *layers,
        data=alt.InlineData(values=values),
        width=300,
        height=ROW * len(values) + 10,
        description=text,
    )


def _unit(verdict: Verdict) -> str:
    """What a difference is measured in."""
    if not verdict.of_measure and "accuracy" in verdict.quantity:
        return POINTS
    return f"difference in {verdict.quantity.removeprefix(PREFIX).partition('@')[0].replace('_', ' ')}"


def _register(question: Question, title: str) -> None:
    figure(
        f"answer-{question}",
        title,
        SECTION,
        "Mean paired difference over replicates with its 95% interval; the dashed line is no difference.",
    )(lambda tables: effects(tables, question))


for _question, _title in QUESTIONS.items():
    _register(_question, _title)
