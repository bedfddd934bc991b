"""The input map: which pixels the surviving weights of the first layer look at."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from tombola.report.curves import panel_name
from tombola.report.figures import Picture, figure, listed
from tombola.report.tables import Tables

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
