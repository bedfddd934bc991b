"""Paths: the error between two networks along the straight line, and how stable copies are."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.report.figures.base import Picture, figure
from tombola.report.figures.density import against_density
from tombola.report.figures.panels import (
    in_sentences,
    line_panels,
    panel_name,
    panels_of,
    replicates_of,
    spread,
    tidy,
)
from tombola.report.tables import NothingToDrawError, Tables
from tombola.runs.results import with_bands
from tombola.text import listed

NOTHING = "Nothing was connected yet; `tombola connect` measures the paths between a run's networks."

LABELS = {
    "instability": "{arm}",
    "levels": "from the level before",
    "dense": "from dense",
    "pruning": "from dense, masked",
    "arms": "ticket to {arm}",
    "donors": "to the donor, matched",
    "donors-apart": "to the donor, as it is",
}
"""Kind of pairs -> what its line is called."""


@figure(
    "instability",
    "Error barrier between copies",
    "Stability",
    "Two copies of each network, trained from one start with other data order: the largest test error on the line "
    "between them minus the mean of both. Below 2 points they count as stable (Frankle et al. 2020). Means over "
    "replicates; the band is their 95% t-interval.",
)
def instability(tables: Tables) -> Picture:
    """Test-error barrier (points) between copies of a network, against density."""
    if "instability" not in tables.summaries or tables.summaries["instability"].is_empty():
        raise NothingToDrawError(NOTHING)
    return against_density(tables, "instability", "error barrier between copies (points)", scale=100)


@figure(
    "connectivity",
    "Error between networks",
    "Stability",
    "Test error of the networks on the straight line between two. A line called by an arm is between copies of its "
    "networks, trained from one start with other data order. Each panel is one density. Means over replicates; the "
    "band is their 95% t-interval.",
)
def connectivity(tables: Tables) -> Picture:
    """Test error (%) along the path between pairs of networks, a panel for each of a few levels."""
    if tables.paths is None or tables.paths.is_empty():
        raise NothingToDrawError(NOTHING)
    frame = mean_paths(tables.paths)
    densities = dict(frame.group_by("level").agg(pl.col("density").mean()).sort("level").iter_rows())
    panels = {level: panel_name(level, densities[level]) for level in spread(sorted(densities))}
    frame = frame.filter(pl.col("level").is_in(list(panels))).with_columns(
        panel=pl.col("level").replace_strict(panels, return_dtype=pl.String)
    )
    label, names = "test error (%)", list(panels.values())
    top = 1.1 * max(frame["mean"]) or 1.0
    axis = alt.Axis(tickCount=3, grid=False, labelFlush=True)
    return line_panels(
        alt.Chart().encode(
            x=alt.X("alpha:Q", title="place between the two networks (0 to 1)", axis=axis),
            y=alt.Y("mean:Q", title=label, scale=alt.Scale(domain=[0, top], clamp=True, nice=False)),
        ),
        tidy(frame.select("arm", "panel", "alpha", "n", "mean", "low", "high"), 2),
        f"Line charts of test error (%) against the place between two networks, one panel each for {listed(names)}; "
        f"{replicates_of(frame)}. Largest values. {in_sentences(frame, names, pl.Expr.max, 2)}",
        {"alpha:Q": "place"},
        panels_of(names),
        label=label,
        marks="lines",
    )


def mean_paths(paths: pl.DataFrame) -> pl.DataFrame:
    """Test error (%) with its 95% t-interval over replicates: arm (the line's name), level, density, alpha, n, mean,
    low, high. Pairs of one replicate are averaged first."""
    keys = ["arm", "level", "alpha"]
    label = pl.col("kind").replace_strict(LABELS, default=None, return_dtype=pl.String)
    name = label.str.replace("{arm}", pl.col("arm"), literal=True)
    test = paths.filter(pl.col("split") == "test").with_columns(arm=name)
    each = test.group_by(*keys, "replicate").agg(pl.col("density").mean(), pl.col("error").mean() * 100)
    means = each.group_by(keys).agg(
        pl.col("density").mean(),
        pl.len().cast(pl.Int64).alias("n"),
        pl.col("error").mean().alias("mean"),
        pl.col("error").std().alias("deviation"),
    )
    bands = with_bands(means, (0.0, 100.0))
    return bands.select(*keys, "density", "n", "mean", "low", "high").sort("level", "arm", "alpha")
