"""Figures against density: accuracy, early stop, the gap between training and test."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.report.figures.base import Picture, always, as_series, figure, runs_in, series_of
from tombola.report.figures.errors import as_errors, cut, error_axis, is_log
from tombola.report.figures.panels import folded, line_panels, panels_of, replicates_of, tidy
from tombola.report.figures.style import DENSE, GREY, HEIGHT, WIDTH, arm_styles, round_steps
from tombola.report.tables import Tables
from tombola.text import listed, percent

BAND = "Means over replicates; the band is their 95% t-interval. Sparser networks are to the right."
LOWER = f"Lower is better; the axis is logarithmic. {BAND}"
GAP = "Train-test gap at the end of training"


@figure("accuracy-early-stop", "Test error at early stop", "Accuracy", LOWER, always)
def accuracy_early_stop(tables: Tables) -> Picture:
    """Test error (%) of the network of least validation loss, against density."""
    return of_metric(tables, tables.metric.early_stop, "at early stop")


@figure("accuracy-final", "Test error at the end of training", "Accuracy", LOWER, always)
def accuracy_final(tables: Tables) -> Picture:
    """Test error (%) after the last iteration, against density."""
    return of_metric(tables, tables.metric.final_test, "at the end")


@figure("early-stop", "Early-stop iteration", "Learning", f"Lower has learnt sooner. {BAND}", always)
def early_stop(tables: Tables) -> Picture:
    """Iteration of least validation loss, against density."""
    return against_density(tables, "early_stop_iteration", "early-stop iteration", digits=0)


@figure("gap", GAP, "Generalisation", f"Lower generalises better. {BAND}", always)
def gap(tables: Tables) -> Picture:
    """Training minus test accuracy (percentage points) after the last iteration, against density; of errors the test
    one less that of training."""
    metric = tables.metric
    if metric.more_is_better:
        return against_density(
            tables, metric.gap, f"training − test {metric.noun} (points)", scale=metric.scale
        )
    return against_density(tables, metric.gap, f"test − training {metric.noun}", metric.scale, metric.digits)


def of_metric(tables: Tables, value: str, where: str) -> Picture:
    """A column of the metric: an accuracy as an error (%), an error as it is."""
    metric = tables.metric
    if metric.more_is_better:
        return against_density(tables, value, f"test error {where} (%)", scale=100, errors=True)
    return against_density(
        tables, value, f"test {metric.noun} {where}", metric.scale, metric.digits, errors=True
    )


def against_density(
    tables: Tables, value: str, label: str, scale: float = 1, digits: int = 2, errors: bool = False
) -> Picture:
    """One line an arm of a summarised value times `scale`, density (%) falling to the right on a log axis.

    Accuracies are shown as `errors`, and so is what is one. Where there are many arms, only the `leading` ones have
    lines.

    Level 0, the dense network, is the first point of its line and a rule across the picture. Several runs share the
    axes while there are few lines, else each has a panel, with an axis of its own.
    """
    frame = tables.summary(value).with_columns(
        pl.col("density") * 100, *(pl.col(column) * scale for column in ("mean", "low", "high"))
    )
    frame, left_out = folded(as_errors(frame) if errors and tables.metric.more_is_better else frame)
    styles = series_of(frame)
    if styles is not None:
        frame = as_series(frame)
    panels = runs_in(frame)
    rows = tidy(
        frame.select("arm", *["run"] * bool(panels), "level", "density", "n", "mean", "low", "high"), digits
    )
    y = alt.Y("mean:Q", title=label, scale=alt.Scale(zero=False, nice=True))
    if errors:
        y = error_axis(frame, label, own_axes=bool(panels))
        rows = cut(rows) if is_log(frame) else rows
    return line_panels(
        alt.Chart().encode(x=density_axis(frame), y=y),
        rows,
        describe(frame, label, digits),
        {"density:Q": "density (%)"},
        panels_of(panels, "run:N") if panels else None,
        size=(WIDTH * 2 // 3, HEIGHT * 4 // 5) if panels else (WIDTH, HEIGHT),
        label=label,
        behind=_dense_rule(frame),
        styles=styles,
        left_out=left_out,
        own_axes=bool(panels),  # one run may do so badly that the others' lines would all be one at the top
    )


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


def density_axis(
    frame: pl.DataFrame, title: str = "density (% of prunable weights that remain)", highest: float = 100
) -> alt.X:
    """`density` (%) on a log scale from `highest` at the left down to the least of the frame, ticks at 1-2-5 steps."""
    lowest = min(*frame["density"], highest / 2)
    steps = round_steps(0.97 * lowest, highest)
    return alt.X(
        "density:Q",
        title=title,
        # Room for half a marker at both ends.
        scale=alt.Scale(type="log", reverse=True, domain=[lowest * 0.94, highest * 1.06], nice=False),
        axis=alt.Axis(values=steps, format="~g", grid=False),
    )


def levels_axis(means: pl.DataFrame) -> alt.X:
    """`density` (%) over the levels of `means` alone. One level makes no line: its arms stand beside each other, in the
    order of the legend, which names them."""
    densities = means["density"]
    if densities.round_sig_figs(3).n_unique() > 1:
        return density_axis(means, "density (%)", highest=max(densities))
    title = f"arms, at {percent(densities[0] / 100)} density"
    axis = alt.Axis(labels=False, ticks=False, grid=False)
    return alt.X("arm:N", title=title, sort=list(arm_styles(means["arm"])), axis=axis)


def describe(frame: pl.DataFrame, label: str, digits: int) -> str:
    """Alternative text: what is drawn, and each arm's values at its densest, middle and sparsest level."""
    named = as_series(frame) if "run" in frame.columns else frame
    arms = list(arm_styles(named["arm"].unique()))
    sentences = []
    for arm in arms:
        line = named.filter(pl.col("arm") == arm).sort("level").select("density", "mean").rows()
        chosen = [line[i] for i in sorted({0, len(line) // 2, len(line) - 1})]
        values = ", ".join(f"{mean:.{digits}f} at {percent(density / 100)}" for density, mean in chosen)
        sentences.append(f"{arm}: {values}.")
    return f"Line chart of {label} against density, for {listed(arms)}; {replicates_of(frame)}. {' '.join(sentences)}"
