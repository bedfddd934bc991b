"""The input map: which pixels the surviving weights of the first layer look at."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from tombola.report.figures.base import Picture, figure
from tombola.report.figures.curves import panel_name
from tombola.report.tables import Looks, Tables
from tombola.text import listed

PANELS = 4
"""Levels shown: the first, the last, and those spread evenly between them."""

FRAMES = 16
"""Levels that the picture's rows hold, so that a page can go through them one by one."""

SIDE = 150


@figure(
    "input-map",
    "Surviving input weights",
    "Structure",
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
    # A few strong pixels would leave the rest pale: the scale ends at the 99th percentile and is clamped there.
    top = max(1.5, float(np.quantile([row["relative"] for row in rows], 0.99)))
    colour = alt.Color(
        "relative:Q",
        title="weights per pixel (average = 1)",
        scale=alt.Scale(scheme="viridis", domain=[0, top], clamp=True),
        legend=alt.Legend(type="gradient", gradientLength=200, gradientThickness=10, tickCount=4),
    )
    tiles = (
        alt.Chart()
        # A hair wider than their steps, so that no light shows between the tiles; no spoken label for each pixel.
        .mark_rect(width=alt.RelativeBandSize(1.15), height=alt.RelativeBandSize(1.15), aria=False)
        .encode(
            x=alt.X("column:O", axis=None, scale=alt.Scale(padding=0)),
            y=alt.Y("row:O", axis=None, scale=alt.Scale(padding=0)),
            color=colour,
            tooltip=[
                alt.Tooltip("row:O"),
                alt.Tooltip("column:O"),
                alt.Tooltip("weights:Q", title="weights that remain", format=",.4~g"),
                alt.Tooltip("relative:Q", title="relative to the average", format=".2f"),
            ],
        )
        .properties(width=SIDE, height=SIDE * height // width)
    )
    picture: Picture = tiles.facet(
        facet=alt.Facet("panel:N", title=None, sort=list(panels.values())),
        columns=PANELS,
        spacing=12,
        data=alt.InlineData(values=rows),
    ).properties(description=describe_maps({name: maps[level] for level, name in panels.items()}))
    if len(panels) < len(frames):
        picture = picture.transform_filter(alt.FieldOneOfPredicate("panel", list(panels.values())))
    return picture


def spread(levels: list[int], most: int = PANELS) -> list[int]:
    """At most so many of the levels, the first and last among them, evenly spread by index."""
    if len(levels) <= most:
        return levels
    return [levels[round(i * (len(levels) - 1) / (most - 1))] for i in range(most)]


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
    "Masks while the dense network trains",
    "Structure",
    "Each tile is the share of weights in which two masks differ, made of the dense network's weights at two times of "
    "its training. Where the lower right corner is dark, masks stand still from there on.",
)
def early_bird(tables: Tables) -> Picture:
    """Distance (share of all weights) between the masks of any two looks at the dense training, a panel a density."""
    looks, densities = tables.looks(), tables.densities()
    panels = {level: panel_name(level, densities.get(level, 1.0)) for level in spread(list(looks))}
    rows = [row for level, name in panels.items() for row in tiles(looks[level], name)]
    # A few distances from the first look would leave the rest dark: the scale ends at the 99th percentile.
    top = float(np.quantile([row["distance"] for row in rows], 0.99)) or 1.0
    colour = alt.Color(
        "distance:Q",
        title="distance between masks",
        scale=alt.Scale(scheme="viridis", domain=[0, top], clamp=True),
        legend=alt.Legend(type="gradient", gradientLength=200, gradientThickness=10, tickCount=4),
    )
    times = sorted({row["iteration"] for row in rows})
    axis = alt.Axis(values=spread(times, LABELS), labelAngle=0, ticks=False, domain=False)
    picture: Picture = (
        alt.Chart()
        # A hair wider than their steps, so that no light shows between the tiles; no spoken label for each.
        .mark_rect(width=alt.RelativeBandSize(1.15), height=alt.RelativeBandSize(1.15), aria=False)
        .encode(
            x=alt.X("iteration:O", title="iteration", axis=axis, scale=alt.Scale(padding=0)),
            y=alt.Y("other:O", title="iteration", axis=axis, scale=alt.Scale(padding=0)),
            color=colour,
            tooltip=[
                alt.Tooltip("iteration:O", title="masks of iteration"),
                alt.Tooltip("other:O", title="and iteration"),
                alt.Tooltip("distance:Q", format=".4f"),
            ],
        )
        .properties(width=SIDE, height=SIDE)
        .facet(
            facet=alt.Facet("panel:N", title=None, sort=list(panels.values())),
            columns=PANELS,
            spacing=20,
            data=alt.InlineData(values=rows),
        )
        .properties(description=describe_looks({name: looks[level] for level, name in panels.items()}))
    )
    return picture


def tiles(looks: Looks, panel: str) -> list[dict[str, Any]]:
    """One row a pair of looks, at most SHOWN along a side: panel, iteration, other, distance."""
    count = len(looks.iterations)
    shown = sorted({round(i) for i in np.linspace(0, count - 1, min(count, SHOWN))})
    return [
        {
            "panel": panel,
            "iteration": looks.iterations[i],
            "other": looks.iterations[j],
            "distance": round(float(looks.distances[i, j]), 6),
        }
        for i in shown
        for j in shown
    ]


def describe_looks(panels: dict[str, Looks]) -> str:
    """Alternative text: the densities, how often masks were made, and how the steps between them shrink."""
    sentences = []
    for name, looks in panels.items():
        steps = np.diag(looks.distances, 1)
        if len(steps):
            sentences.append(
                f"{name}: from one of {len(looks.iterations)} masks to the next, distances go from {steps[0]:.3f} to "
                f"{steps[-1]:.3f}."
            )
        else:
            sentences.append(f"{name}: one mask alone.")
    return (
        f"Heat maps of the distances between masks made while the dense network trains, for {listed(panels)}. "
        f"{' '.join(sentences)}"
    )
