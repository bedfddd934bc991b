"""Learning curves: validation loss and accuracy against iteration, a panel for each of a few densities."""

from __future__ import annotations

import math

import altair as alt
import polars as pl

from tombola.report.figures.base import Picture, as_series, figure, series_of
from tombola.report.figures.errors import as_errors, error_axis
from tombola.report.figures.panels import (
    folded,
    in_sentences,
    line_panels,
    panel_name,
    panels_of,
    replicates_of,
    tidy,
)
from tombola.report.figures.style import DENSE, MOST_SERIES, round_steps
from tombola.report.tables import NothingToDrawError, Tables
from tombola.runs.results import with_bands
from tombola.stats.intervals import bounds
from tombola.study.claims import NEAR
from tombola.text import listed

LANDMARKS = (0.5, 0.21)
"""Densities that Frankle and Carbin (2019, section 2) show curves at, beside the dense and the sparsest network."""

POINTS = 120
"""Points a curve at most: more than a panel has room for, few enough for the page to stay light."""

READING = (
    "Each panel is one density, with the dense network repeated for comparison. "
    "Means over replicates; the band is their 95% t-interval."
)


def share_panels(tables: Tables) -> bool:
    """Whether several runs have few enough lines for one panel, and the same densities at the same levels."""
    frame = tables.results.filter(pl.col("density").is_not_null())
    few = frame.select("run", "arm").n_unique() <= MOST_SERIES
    ladders = frame.group_by("run", "level").agg(pl.col("density").mean())
    spread = ladders.group_by("level").agg(wide=pl.col("density").max() / pl.col("density").min())
    return few and not (spread["wide"] > 1 + NEAR).any()


@figure("learning-curves", "Validation loss during training", "Learning", READING, share_panels)
def learning_curves(tables: Tables) -> Picture:
    """Validation loss (log axis) against iteration."""
    return curves(tables, "loss", "validation loss", scale=1, digits=4)


@figure("learning-curves-accuracy", "Validation error during training", "Learning", READING, share_panels)
def learning_curves_accuracy(tables: Tables) -> Picture:
    """Validation error (%, log axis) against iteration."""
    return curves(tables, "accuracy", "validation error (%)", scale=100, digits=2)


def curves(tables: Tables, value: str, label: str, scale: float, digits: int) -> Picture:
    """A panel for each chosen level; in it one line an arm, and the dense network's."""
    seen = evaluations(tables, value)
    levels = chosen_levels(seen)
    densities = dict(seen.group_by("level").agg(pl.col("density").mean()).iter_rows())
    panels = {level: panel_name(level, densities[level]) for level in levels}
    seen, left_out = folded(seen)
    styles = series_of(seen)
    if styles is not None:
        seen = as_series(seen)
    means = mean_curves(seen.filter(pl.col("level").is_in([0, *levels])), value, scale)
    means = as_errors(means) if value == "accuracy" else means
    frame = in_panels(means, panels) if styles is None else in_own_panels(means, panels)

    rows = tidy(frame.select("arm", "panel", "iteration", "n", "mean", "low", "high"), digits)
    axis = alt.Axis(tickCount=4, grid=False, labelFlush=True, labelOverlap=True, labelSeparation=8)
    x = alt.X("iteration:Q", title="iteration", axis=axis)
    names = list(panels.values())
    return line_panels(
        alt.Chart().encode(x=x, y=value_axis(frame, value, label)),
        rows,
        describe_curves(frame, label, names, digits),
        {"iteration:Q": "iteration"},
        panels_of(names),
        label=label,
        marks="lines",
        styles=styles,
        left_out=left_out,
    )


def evaluations(tables: Tables, value: str) -> pl.DataFrame:
    """The finite validation values of the history; NothingToDrawError where there are none."""
    if tables.history is None or tables.history.is_empty():
        raise NothingToDrawError("No history of the training was kept, so there are no learning curves.")
    shown = (pl.col("split") == "validation") & pl.col(value).cast(pl.Float64).is_finite()
    shown = shown & (pl.col(value) > 0) if value == "loss" else shown  # a log axis has no zero
    # Without what is not looked at: of large runs that is most of what is in memory.
    other = {"loss", "accuracy"} - {value}
    seen = tables.history.lazy().filter(shown).drop("draw", "split", *other).collect()
    if seen["iteration"].n_unique() < 2:
        raise NothingToDrawError(
            f"The history holds no finite validation {value} past its first iteration, so there is no curve of it."
        )
    return seen


def chosen_levels(history: pl.DataFrame) -> list[int]:
    """Levels to show, ascending: dense, those nearest to LANDMARKS (in log density), and the sparsest.

    Levels that have a control beside the ticket are preferred, as controls may run at a few levels only.
    """
    per_level = history.group_by("level").agg(pl.col("density").mean(), arms=pl.col("arm").n_unique())
    pruned = per_level.filter((pl.col("level") > 0) & (pl.col("density") > 0)).sort("level")
    compared = pruned.filter(pl.col("arms") > 1)
    candidates = list((pruned if compared.is_empty() else compared).select("level", "density").iter_rows())
    chosen = {0} if 0 in per_level["level"] else set()
    if candidates:
        for landmark in LANDMARKS:
            chosen.add(min(candidates, key=lambda pair: abs(math.log(pair[1] / landmark)))[0])
        chosen.add(min(candidates, key=lambda pair: pair[1])[0])
    return sorted(chosen)


def mean_curves(history: pl.DataFrame, value: str, scale: float) -> pl.DataFrame:
    """Mean of `value` times `scale` over replicates with its 95% t-interval, thinned to POINTS iterations a curve.

    Draws are averaged within their replicate first. Columns arm, level, iteration, n, mean, low, high.
    """
    grid = history.select("iteration").unique().sort("iteration")
    grid = grid.gather_every(math.ceil(grid.height / POINTS))
    key = ["arm", "level", "iteration"]
    replicates = (
        history.join(grid, on="iteration").group_by([*key, "replicate"]).agg(pl.col(value).mean() * scale)
    )
    frame = replicates.group_by(key).agg(
        n=pl.len().cast(pl.Int64), mean=pl.col(value).mean(), deviation=pl.col(value).std()
    )
    low, high = bounds(value)
    return with_bands(frame, (scale * low, scale * high))


def in_panels(means: pl.DataFrame, panels: dict[int, str]) -> pl.DataFrame:
    """The curves of each panel's level, and level 0 in every panel under the name `dense`."""
    dense = means.filter(pl.col("level") == 0).with_columns(arm=pl.lit(DENSE))
    own = means.filter(pl.col("level") > 0)
    parts = [
        pl.concat([dense, own.filter(pl.col("level") == level)]).with_columns(panel=pl.lit(name))
        for level, name in panels.items()
    ]
    return pl.concat(parts).sort("panel", "arm", "iteration")


def in_own_panels(means: pl.DataFrame, panels: dict[int, str]) -> pl.DataFrame:
    """Each curve in the panel of its level alone: of several runs, each has a dense network."""
    names = pl.col("level").replace_strict(panels, default=None, return_dtype=pl.String)
    return means.with_columns(panel=names).drop_nulls("panel").sort("panel", "arm", "iteration")


def value_axis(frame: pl.DataFrame, value: str, label: str) -> alt.Y:
    """A log axis that spans the means, wider intervals are clipped at the edge."""
    if value == "accuracy":
        return error_axis(frame, label, clamp=True)
    low, high = 0.85 * float(frame["mean"].min()), 1.15 * float(frame["mean"].max())  # type: ignore[arg-type]
    scale = alt.Scale(type="log", domain=[low, high], clamp=True, nice=False)
    return alt.Y(
        "mean:Q", title=label, scale=scale, axis=alt.Axis(values=round_steps(low, high), format=".4~g")
    )


def describe_curves(frame: pl.DataFrame, label: str, panels: list[str], digits: int) -> str:
    """Alternative text: the panels, and the best mean of each arm in each."""
    return (
        f"Line charts of {label} against iteration, one panel each for {listed(panels)}; {replicates_of(frame)}. "
        f"Best values. {in_sentences(frame, panels, pl.Expr.min, digits)}"
    )
