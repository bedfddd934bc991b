"""A family of claims as a forest plot: a row a claim, its difference with its interval, its decision as a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from tombola.analysis.verdicts import plain
from tombola.analysis.verdicts.verdict import Verdict
from tombola.analysis.verdicts.wording import DECIDED, estimate
from tombola.report.figures.answers import COLOURS, unit
from tombola.report.figures.base import Picture
from tombola.report.figures.style import GREY, config
from tombola.report.tables import NothingToDrawError
from tombola.text import percent

ROW, APART = 17, 5
"""Height of a claim in px, and how far above each other its densities are."""
SHAPES = ("circle", "diamond", "square", "triangle-up")


def forest(verdicts: Sequence[Verdict]) -> Picture:
    """The mean differences of the claims with their 95% intervals; densities have shapes.

    Raises NothingToDrawError where none has an estimate."""
    found = [each for each in verdicts if each.difference is not None]
    if not found:
        raise NothingToDrawError("No claim of this family has an estimate.")
    densities = sorted({_at(each) for each in found}, key=lambda text: -float(text.rstrip("%") or 0))
    rows = [_row(each) for each in found]
    claims = list(dict.fromkeys(row["claim"] for row in rows))
    seen = [each for each in COLOURS if any(verdict.decision == each for verdict in found)]
    y = alt.Y("claim:N", sort=claims, title=None, axis=alt.Axis(labelLimit=0, grid=True))
    colour = alt.Color(
        "decision:N",
        title=None,
        scale=alt.Scale(domain=[DECIDED[each] for each in seen], range=[COLOURS[each] for each in seen]),
        legend=alt.Legend(columns=1) if len(seen) > 1 else None,
    )
    shape = alt.Shape(
        "density:N",
        title="density",
        scale=alt.Scale(domain=densities, range=[SHAPES[i % len(SHAPES)] for i in range(len(densities))]),
        legend=alt.Legend() if len(densities) > 1 else None,
    )
    offset = alt.YOffset("density:N", sort=densities, scale=alt.Scale(paddingOuter=0.5))
    base = alt.Chart().encode(y=y, color=colour, yOffset=offset)
    title = " / ".join(dict.fromkeys(map(unit, found)))
    layers: list[alt.Chart] = [
        alt.Chart().mark_rule(strokeDash=[3, 3], color=GREY).encode(x=alt.datum(0)),
        base.mark_point(filled=True, size=45).encode(x=alt.X("difference:Q", title=title), shape=shape),
    ]
    if any(row["low"] is not None for row in rows):
        layers.insert(1, base.mark_rule(strokeWidth=1.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"))
    picture = alt.layer(
        *layers,
        data=alt.InlineData(values=rows),
        width=300,
        height=(ROW + APART * (len(densities) - 1)) * len(claims),
        description=f"Differences of claims with their decisions. {'; '.join(estimate(each) for each in found)}.",
    )
    picture.config = config()
    return picture


def _row(verdict: Verdict) -> dict[str, Any]:
    scale = plain.scale_of(verdict)
    ends = [None if end is None else scale * end for end in (verdict.difference, verdict.low, verdict.high)]
    return {
        "claim": verdict.claim.rstrip("."),
        "density": _at(verdict),
        "decision": DECIDED[verdict.decision],
        **dict(zip(("difference", "low", "high"), ends, strict=True)),
    }


def _at(verdict: Verdict) -> str:
    return percent(verdict.density) if verdict.density is not None else ""
