"""Heat maps: where surviving input weights look, masks while networks train, and which tickets are alike."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.alignment.words import RAW, WHOLE
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.panels import MOST_PANELS, panel_name, panels_of, spread, tidy
from tombola.report.figures.similarity import SECTION, compared
from tombola.report.figures.style import arm_styles
from tombola.report.tables import Looks, NothingToDrawError, Tables
from tombola.text import listed, percent

FRAMES = 16
"""Levels that the rows of the input map hold, so that a page can go through them one by one."""
SIDE = 150
"""Width of a panel in px."""


@figure(
    "input-map",
    "Surviving input weights",
    SECTION,
    "First-layer weights that remain at each input pixel, relative to the average pixel of the same level (1).",
)
def input_map(tables: Tables) -> Picture:
    """Surviving first-layer weights of each input pixel, relative to the level's average pixel."""
    maps = tables.maps()
    densities = tables.densities()
    frames = {level: panel_name(level, densities.get(level, 1.0)) for level in spread(list(maps), FRAMES)}
    panels = {level: frames[level] for level in spread(list(frames))}
    rows = [row for level, name in frames.items() for row in pixels(maps[level], name)]
    height, width = maps[next(iter(panels))].shape
    # A few strong pixels would leave the rest pale: the scale ends at the 99th percentile.
    top = max(1.5, float(np.quantile([row["relative"] for row in rows], 0.99)))
    picture = heat_panels(
        alt.X("column:O", axis=None, scale=alt.Scale(padding=0)),
        alt.Y("row:O", axis=None, scale=alt.Scale(padding=0)),
        heat("relative:Q", "weights per pixel (average = 1)", 0, top),
        [
            alt.Tooltip("row:O"),
            alt.Tooltip("column:O"),
            alt.Tooltip("weights:Q", title="weights that remain", format=",.4~g"),
            alt.Tooltip("relative:Q", title="relative to the average", format=".2f"),
        ],
        rows,
        list(panels.values()),
        describe_maps({name: maps[level] for level, name in panels.items()}),
        height=SIDE * height // width,
        spacing=12,
    )
    if len(panels) < len(frames):
        picture = picture.transform_filter(alt.FieldOneOfPredicate("panel", list(panels.values())))
    return picture


def pixels(counts: NDArray[np.float64], panel: str) -> list[dict[str, Any]]:
    """One row a pixel of an [H, W] map: panel, row, column, weights, relative (0 throughout for an empty map)."""
    average = float(counts.mean()) or 1.0
    return [
        {
            "panel": panel,
            "row": y,
            "column": x,
            "weights": round(float(count), 4),
            "relative": round(float(count) / average, 4),
        }
        for (y, x), count in np.ndenumerate(counts)
    ]


def describe_maps(maps: dict[str, NDArray[np.float64]]) -> str:
    """Alternative text: the levels, the size, how many pixels have lost every weight, where the rest look."""
    height, width = next(iter(maps.values())).shape
    inner = (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4))
    sentences = []
    for name, counts in maps.items():
        share = 100 * float(counts[inner].sum()) / (float(counts.sum()) or 1.0)
        sentences.append(
            f"{name}: {int((counts == 0).sum())} of {counts.size} pixels have no weight left, "
            f"the middle quarter of the image has {share:.0f}% of the weights."
        )
    return (
        f"Heat maps of the first-layer weights that remain at each of {height} by {width} input pixels, "
        f"for {listed(maps)}. {' '.join(sentences)}"
    )


SHOWN = 40
"""Looks along a side of a panel: of more, so many that are evenly spread, for the sake of the page's size."""
LABELS = 4
"""Iterations that are written at a side."""


@figure(
    "early-bird",
    "Masks while networks train",
    SECTION,
    "Each tile is the share of weights in which two masks differ, made of a network's weights at two times of its "
    "training (in mode short-rounds, of the weights that the round prunes). Where the lower right corner is dark, "
    "masks stand still from there on.",
)
def early_bird(tables: Tables) -> Picture:
    """Distance (share of all weights) between the masks of any two looks at the dense training, a panel a density."""
    looks, densities = tables.looks(), tables.densities()
    panels = {level: panel_name(level, densities.get(level, 1.0)) for level in spread(list(looks))}
    rows = [row for level, name in panels.items() for row in tiles(looks[level], name)]
    # A few distances from the first look would leave the rest dark: the scale ends at the 99th percentile.
    top = float(np.quantile([row["distance"] for row in rows], 0.99)) or 1.0
    times = sorted({row["iteration"] for row in rows})
    axis = alt.Axis(values=spread(times, LABELS), labelAngle=0, ticks=False, domain=False)
    return heat_panels(
        alt.X("iteration:O", title="iteration", axis=axis, scale=alt.Scale(padding=0)),
        alt.Y("other:O", title="iteration", axis=axis, scale=alt.Scale(padding=0)),
        heat("distance:Q", "distance between masks", 0, top),
        [
            alt.Tooltip("iteration:O", title="masks of iteration"),
            alt.Tooltip("other:O", title="and iteration"),
            alt.Tooltip("distance:Q", format=".4f"),
        ],
        rows,
        list(panels.values()),
        describe_looks({name: looks[level] for level, name in panels.items()}),
    )


def tiles(looks: Looks, panel: str) -> list[dict[str, Any]]:
    """One row a pair of looks, at most SHOWN along a side: panel, iteration, other, distance."""
    count = len(looks.iterations)
    shown = sorted({round(i) for i in np.linspace(0, count - 1, min(count, SHOWN))})
    times, distances = looks.iterations, looks.distances
    return [
        {
            "panel": panel,
            "iteration": times[i],
            "other": times[j],
            "distance": round(float(distances[i, j]), 6),
        }
        for i in shown
        for j in shown
    ]


def describe_looks(panels: dict[str, Looks]) -> str:
    """Alternative text: the densities, how often masks were made, and how the steps between them shrink."""
    sentences = []
    for name, looks in panels.items():
        steps = np.diag(looks.distances, 1)
        sentences.append(
            f"{name}: from one of {len(looks.iterations)} masks to the next, distances go from {steps[0]:.3f} to "
            f"{steps[-1]:.3f}."
            if len(steps)
            else f"{name}: one mask alone."
        )
    return (
        f"Heat maps of the distances between masks made while networks train, for {listed(panels)}. "
        f"{' '.join(sentences)}"
    )


MOST_NAMED = 24
"""Masks along a side that are each named there; of more, only their arms are, in the middle of each."""
ARM_ALONE = "slice(datum.label, 0, lastindexof(datum.label, ' '))"
"""What is left of 'ticket 3' without the replicate."""


@figure(
    "similarity",
    "Which tickets are alike",
    SECTION,
    "Jaccard index of every two masks over chance (1), whole networks, unit for unit, at the sparsest density that was "
    "compared; the scale ends at the most alike pair of different replicates. Masks go by arm, then by replicate; the "
    "pointer names them. A reinit has the ticket's own mask.",
)
def similarity(tables: Tables) -> Picture:
    """Raw Jaccard over its expectation, by arm and replicate."""
    frame = compared(tables).filter(
        pl.col("measure") == "jaccard",
        pl.col("aligned") == RAW,
        pl.col("layer") == WHOLE,
        pl.col("expected") > 0,
        pl.col("level_a") == pl.col("level_b"),
        pl.col("draw_a") == 0,
        pl.col("draw_b") == 0,
    )
    if frame.is_empty():
        raise NothingToDrawError("No tickets were compared yet; `tombola compare RUN` does it.")
    frame = frame.filter(pl.col("density") == frame["density"].min())
    frame = frame.with_columns(
        times=pl.col("value") / pl.col("expected"),
        one=pl.format("{} {}", "arm_a", "replicate_a"),
        other=pl.format("{} {}", "arm_b", "replicate_b"),
    )
    both = frame.select("one", "other", "value", "times")
    both = pl.concat([both, both.select("value", "times", one="other", other="one").select(both.columns)])
    places = {place for s in "ab" for place in frame.select(f"arm_{s}", f"replicate_{s}").iter_rows()}
    arms = list(arm_styles(arm for arm, _ in places))
    order = [f"{arm} {r}" for arm, r in sorted(places, key=lambda place: (arms.index(place[0]), place[1]))]
    across = frame.filter(pl.col("replicate_a") != pl.col("replicate_b"))["times"].to_list() or [1.0]
    side = min(420, max(120, 14 * len(order)))
    labels: dict[str, Any] = {"labelOverlap": False}
    if len(order) > MOST_NAMED:
        blocks = [[name for name in order if name.rpartition(" ")[0] == arm] for arm in arms]
        middles = [block[len(block) // 2] for block in blocks]
        labels = {
            "values": middles,
            "labelExpr": ARM_ALONE,
            "labelOverlap": True,
            "tickSize": 0,
            "labelPadding": 6,
        }
    picture: Picture = (
        alt.Chart(alt.InlineData(values=tidy(both)))
        .mark_rect(aria=False)
        .encode(
            x=alt.X("one:N", title=None, sort=order, axis=alt.Axis(labelAngle=-60, **labels)),
            y=alt.Y("other:N", title=None, sort=order, axis=alt.Axis(**labels)),
            color=heat("times:Q", "overlap, times chance", min(1.0, *frame["times"]), max(1.05, *across)),
            tooltip=[
                alt.Tooltip("one:N"),
                alt.Tooltip("other:N"),
                alt.Tooltip("value:Q", title="Jaccard", format=".4~g"),
                alt.Tooltip("times:Q", title="times chance", format=".4~g"),
            ],
        )
        .properties(
            width=side,
            height=side,
            description=f"Heat map of the overlap of every two of {len(order)} masks at "
            f"{percent(float(frame['density'][0]))} density, over chance: between replicates from "
            f"{min(across):.3g} to {max(across):.3g} times chance.",
        )
    )
    return picture


def heat_panels(
    x: alt.X,
    y: alt.Y,
    color: alt.Color,
    tooltip: list[alt.Tooltip],
    rows: list[dict[str, Any]],
    panels: list[str],
    description: str,
    height: int = SIDE,
    spacing: int = 20,
) -> Picture:
    """A map of touching tiles for each of the panels, which rows name in `panel`."""
    # A hair wider than their steps, so that no light shows between the tiles; no spoken label for each.
    hair = alt.RelativeBandSize(1.15)
    picture: Picture = (
        alt.Chart()
        .mark_rect(width=hair, height=hair, aria=False)
        .encode(x=x, y=y, color=color, tooltip=tooltip)
        .properties(width=SIDE, height=height)
        .facet(
            facet=panels_of(panels), columns=MOST_PANELS, spacing=spacing, data=alt.InlineData(values=rows)
        )
        .properties(description=description)
    )
    return picture


def heat(field: str, title: str, low: float, high: float) -> alt.Color:
    """A colour for a number; beyond `low` and `high` it stays that of the end."""
    return alt.Color(
        field,
        title=title,
        scale=alt.Scale(scheme="viridis", domain=[low, high], clamp=True),
        legend=alt.Legend(type="gradient", gradientLength=200, gradientThickness=10, tickCount=4),
    )
