"""What tickets cost against how good they are: every route to a ticket, the ordinary ladder at its place."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.report.figures.base import Picture, figure
from tombola.report.figures.errors import as_errors, cut, error_axis, is_log
from tombola.report.figures.panels import line_panels, replicates_of, tidy
from tombola.report.figures.style import HEIGHT, WIDTH
from tombola.report.tables import NothingToDrawError, Tables
from tombola.text import percent

LABEL = "test error at early stop (%)"
COST = "whole cost (floating-point operations on living weights)"


@figure(
    "cost-accuracy",
    "Cost against test error",
    "Routes",
    "To the left is cheaper, lower is better; both axes are logarithmic. Each point is one level, densest first from "
    "the left along the ticket's line: what it took to find the ticket and to train it. Bars are 95% t-intervals over "
    "replicates.",
)
def cost_accuracy(tables: Tables) -> Picture:
    """Test error (%) of the tickets of the ladder and of every other way to one, against their whole cost."""
    frame = tables.ways
    if frame is None or frame["arm"].n_unique() < 2:
        raise NothingToDrawError(
            "There is no other way to a ticket here than its ladder, or none of known cost."
        )
    frame = as_errors(frame.with_columns(pl.col("mean", "low", "high", "density") * 100))
    rows = tidy(frame.select("arm", "level", "density", "operations", "n", "mean", "low", "high"), 2)
    axis = alt.X(
        "operations:Q",
        title=COST,
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(format=".1~e", tickCount=5, labelOverlap=True),
    )
    text = "; ".join(
        f"{row['arm']} at {percent(row['density'] / 100)} {row['mean']:.2f}% for {row['operations']:.2g} operations"
        for row in rows
    )
    return line_panels(
        alt.Chart().encode(x=axis, y=error_axis(frame, LABEL)),
        cut(rows) if is_log(frame) else rows,
        f"Test error at early stop against the whole cost of a ticket, {replicates_of(frame)}: {text}.",
        {"level:Q": "level", "density:Q": "density (%)", "operations:Q": "operations"},
        size=(WIDTH * 4 // 3, HEIGHT * 4 // 3),
        label=LABEL,
    )
