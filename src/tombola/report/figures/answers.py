"""The pictures of a study's answer: one a question, the estimates of the claims that answer it with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import polars as pl

from tombola.analysis.verdicts.answers import where_beside
from tombola.analysis.verdicts.plain import amount, scale_of
from tombola.analysis.verdicts.verdict import Verdict
from tombola.analysis.verdicts.wording import DECIDED, contrast, estimate
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.style import GREY, INK
from tombola.report.tables import NothingToDrawError, Tables
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, UNTESTED, YES
from tombola.study.claims import QUESTIONS, MeasureAt, Question

SECTION = "Answer"
COLOURS = {YES: "#1b7837", NO: "#b2182b", CLOSE: "#5b6675", UNRESOLVED: "#8a8f98", UNTESTED: "#8a8f98"}
"""The colour of each decision, as on the page."""
ROW, TALL = 34, 48
"""Height of a claim in px: a line of words above its interval, or two."""
BESIDE = 17
"""How much of it, from below, is beside the interval."""


def effects(tables: Tables, question: Question) -> Picture:
    """Mean paired difference of each claim on the question, with its 95% interval, beside no difference at all."""
    found = [each for each in _verdicts(tables, question) if each.difference is not None]
    if not found:
        raise NothingToDrawError("No claim on this question has an estimate.")
    rows = [_row(each, found[0]) for each in found]
    values = [{"row": index, **row} for index, row in enumerate(_gap(tables, found) + rows)]
    y = alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    base = alt.Chart().encode(
        y=y,
        color=alt.Color(
            "decision:N",
            scale=alt.Scale(domain=[DECIDED[each] for each in COLOURS], range=list(COLOURS.values())),
            legend=None,
        ),
    )
    # Words at the left edge whatever the width: beside the axis they would take half of a narrow page.
    row = TALL if any(each.c for each in found) else ROW
    # Beside the intervals alone: through the words it would strike letters out.
    zero = (
        alt.Chart()
        .mark_rule(strokeDash=[3, 3], color=GREY)
        .encode(
            x=alt.datum(0),
            y=alt.Y("row:O", axis=None, bandPosition=1 - (BESIDE / row)),
            y2=alt.Y2("row:O", bandPosition=1),
        )
    )
    words: dict[str, Any] = {
        "align": "left",
        "baseline": "top",
        "dy": 4 - row / 2,
        "fontSize": 11,
        "lineBreak": "\n",
    }
    halo: dict[str, Any] = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
    around, inside = (
        alt.Chart().mark_text(**words, **look).encode(y=y, x=alt.value(0), text="label:N")
        for look in (halo, {"color": INK})
    )
    title = alt.X(
        "difference:Q", title=" / ".join(dict.fromkeys(map(unit, found))), axis=alt.Axis(labelFlush=True)
    )
    hints = [alt.Tooltip(name) for name in ("what:N", "found:N", "n:Q", "decision:N")]
    layers = [
        zero,
        around,
        inside,
        base.mark_point(filled=True, size=70, yOffset=row / 2 - 9).encode(x=title, tooltip=hints),
    ]
    if any(value["low"] is not None for value in values):
        layers.insert(
            1, base.mark_rule(strokeWidth=2, yOffset=row / 2 - 9).encode(x=alt.X("low:Q"), x2="high:Q")
        )
    text = f"{QUESTIONS[question]} {'; '.join(estimate(each) for each in found)}."
    return alt.layer(
        *layers,
        data=alt.InlineData(values=values),
        width=300,
        height=row * len(values) + 4,
        description=text,
    )


def _verdicts(tables: Tables, question: Question) -> list[Verdict]:
    rows = [] if tables.verdicts is None else tables.verdicts.filter(pl.col("answers") == question).to_dicts()
    return [Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__}) for row in rows]


def _gap(tables: Tables, found: Sequence[Verdict]) -> list[dict[str, Any]]:
    """On the gap: the gap itself, and what carries over of it; none where no claim tells its share."""
    asked = [each for each in _verdicts(tables, "transfers") if each.share and each.difference is not None]
    if found[0].answers != "gap" or not asked or asked[0].quantity != found[0].quantity:
        return []
    one = asked[0]
    assert one.share is not None
    assert one.difference is not None
    gap = replace(one, difference=one.difference / one.share, low=None, high=None, decision=UNTESTED)
    parts = ((gap, f"the gap, {one.share_of}"), (one, f"what carries over, {100 * one.share:.0f}% of it"))
    return [_row(each, each) | {"what": what, "label": f"{what}: {amount(each)}"} for each, what in parts]


def _row(verdict: Verdict, main: Verdict) -> dict[str, Any]:
    """A claim's place in the picture; ends are in the unit of the axis."""
    scale = scale_of(verdict)
    ends = [None if end is None else scale * end for end in (verdict.difference, verdict.low, verdict.high)]
    where = where_beside(verdict, main)
    what = f"{contrast(verdict.arms)}{f', {where}' if where else ''}"
    return {
        "what": what,
        "found": amount(verdict),
        # Of four arms the words are too long for both.
        "label": what.replace(", beyond", ",\nbeyond") if verdict.c else f"{what}: {amount(verdict)}",
        "decision": DECIDED[verdict.decision],
        "n": verdict.n,
        **dict(zip(("difference", "low", "high"), ends, strict=True)),
    }


def unit(verdict: Verdict) -> str:
    """What a difference is measured in, as an axis says it."""
    what = MeasureAt.parse(verdict.quantity).name if verdict.of_measure else verdict.quantity
    unit = " (points)" if scale_of(verdict) == 100 else ""
    return f"difference in {what.replace('_', ' ').replace('-', ' ')}{unit}"


def _register(question: Question, title: str) -> None:
    figure(
        f"answer-{question}",
        title,
        SECTION,
        "Mean paired difference over replicates with its 95% interval; the dashed line is no difference.",
    )(lambda tables: effects(tables, question))


for _question, _title in QUESTIONS.items():
    _register(_question, _title)
