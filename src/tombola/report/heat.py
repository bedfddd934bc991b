"""Distances between the masks that a dense training would leave: when do they stand still?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from tombola.report.curves import panel_name
from tombola.report.figures import Picture, figure, listed
from tombola.report.maps import PANELS, SIDE, spread
from tombola.report.tables import Looks, Tables

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
