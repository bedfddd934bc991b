"""Figures against density: accuracy, early stop, the gap between training and test."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.report.figures.base import (
    Picture,
    always,
    as_series,
    describe,
    figure,
    has_intervals,
    rows_of,
    runs_in,
    series_of,
    tooltip,
)
from tombola.report.figures.style import (
    DENSE,
    GREY,
    HEIGHT,
    WIDTH,
    arm_channels,
    arm_pick,
    faded,
    round_steps,
)
from tombola.report.tables import Tables

BAND = "Means over replicates; the band is their 95% t-interval. Sparser networks are to the right."


@figure("accuracy-early-stop", "Test accuracy at early stop", "Accuracy", BAND, always)
def accuracy_early_stop(tables: Tables) -> Picture:
    """Test accuracy (%) of the network of least validation loss, against density."""
    return against_density(tables, "early_stop_test_accuracy", "test accuracy at early stop (%)", scale=100)


@figure("accuracy-final", "Test accuracy at the end of training", "Accuracy", BAND, always)
def accuracy_final(tables: Tables) -> Picture:
    """Test accuracy (%) after the last iteration, against density."""
    return against_density(tables, "final_test_accuracy", "test accuracy at the end (%)", scale=100)


@figure("early-stop", "Early-stop iteration", "Learning", f"Lower has learnt sooner. {BAND}", always)
def early_stop(tables: Tables) -> Picture:
    """Iteration of least validation loss, against density."""
    return against_density(tables, "early_stop_iteration", "early-stop iteration", digits=0)


@figure(
    "gap",
    "Train-test gap at the end of training",
    "Generalisation",
    f"Lower generalises better. {BAND}",
    always,
)
def gap(tables: Tables) -> Picture:
    """Training minus test accuracy (percentage points) after the last iteration, against density."""
    return against_density(tables, "gap", "training − test accuracy (points)", scale=100)


def against_density(tables: Tables, value: str, label: str, scale: float = 1, digits: int = 2) -> Picture:
    """One line an arm of a summarised value times `scale`, density (%) falling to the right on a log axis.

    Level 0, the dense network, is the first point of its line and a rule across the picture. Several runs share the
    axes while there are few lines, else each has a panel, with an axis of its own.
    """
    frame = tables.summary(value).with_columns(
        pl.col("density") * 100, *(pl.col(column) * scale for column in ("mean", "low", "high"))
    )
    styles = series_of(frame)
    if styles is not None:
        frame = as_series(frame)
    panels = runs_in(frame) if styles is None else []
    keys = ["arm", "run"] if panels else ["arm"]
    rows = rows_of(frame.select(*keys, "level", "density", "n", "mean", "low", "high"), digits)
    channels = arm_channels(frame["arm"].unique(), styles=styles)
    pick = arm_pick()
    x = density_axis(float(frame["density"].min()))  # type: ignore[arg-type]  # a frame of numbers, not empty
    y = alt.Y("mean:Q", title=label, scale=alt.Scale(zero=False, nice=True))

    base = alt.Chart().encode(x=x, color=channels["color"])
    band = base.mark_area().encode(y=alt.Y("low:Q", title=label), y2="high:Q", opacity=faded(pick, 0.14))
    bars = base.mark_rule(strokeWidth=1).encode(y=alt.Y("low:Q"), y2="high:Q", opacity=faded(pick, 0.45))
    lines = base.mark_line().encode(y=y, strokeDash=channels["strokeDash"], opacity=faded(pick, 1))
    points = base.mark_point(filled=True).encode(
        y=y, shape=channels["shape"], opacity=faded(pick, 1), tooltip=tooltip(label, density="density (%)")
    )
    # Fewer than three replicates have no interval, and Vega complains about an extent of nothing.
    intervals = [band, bars] if has_intervals(frame) else []
    layers = [*_dense_rule(frame), *intervals, lines, points.add_params(pick)]
    data, description = alt.InlineData(values=rows), describe(frame, label, digits)
    if not panels:
        return alt.layer(*layers, data=data, width=WIDTH, height=HEIGHT, description=description)
    picture: Picture = (
        alt.layer(*layers, width=WIDTH * 2 // 3, height=HEIGHT * 4 // 5)
        .facet(facet=alt.Facet("run:N", title=None, sort=panels), columns=2, data=data)
        # One run may do so badly that the others' lines would all be one at the top.
        .resolve_scale(y="independent")
        .properties(description=description)
    )
    return picture


def _dense_rule(frame: pl.DataFrame) -> list[alt.Chart]:
    """A line across the picture where the dense network is, and its name; none where it is not in the frame, or lines
    on the same axes are of different dense networks."""
    means = frame.filter(pl.col("level") == 0)["mean"]
    if means.is_empty() or ("run" not in frame.columns and means.n_unique() > 1):
        return []
    dense = alt.Chart().transform_filter("datum.level === 0")
    rule = dense.mark_rule(color=GREY, strokeDash=[1, 2]).encode(y="mean:Q")
    # The name sits just inside the right edge, whatever the width; the rule is where it says.
    name = dense.mark_text(
        text=DENSE, color=GREY, align="right", baseline="bottom", dy=-2, fontSize=10
    ).encode(x=alt.value("width"), y="mean:Q")
    return [rule, name]


def density_axis(lowest: float) -> alt.X:
    """Density (%) on a log scale from 100 at the left down to `lowest` at the right, ticks at 1-2-5 steps."""
    lowest = min(lowest, 50.0)
    ticks = round_steps(0.97 * lowest, 100)
    return alt.X(
        "density:Q",
        title="density (% of prunable weights that remain)",
        # Room for half a marker at both ends.
        scale=alt.Scale(type="log", reverse=True, domain=[lowest * 0.94, 106], nice=False),
        axis=alt.Axis(values=ticks, format="~g", grid=False),
    )
