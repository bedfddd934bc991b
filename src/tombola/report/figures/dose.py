"""How much of a ticket there must be: accuracy against the share of the ticket's weights that an arm has."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.lottery.arms.catalog import DOSE_ARMS, TICKET
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.panels import panel_name, panels_of, tidy
from tombola.report.tables import NothingToDrawError, Tables

OWN = (*DOSE_ARMS, TICKET)
"""Arms that keep a known share of the ticket, from none to all of it."""
NAMED = ("donor-aligned", "donor", "donor-rewired", "donor-fit-aligned", "core", "twin")
"""Arms whose names stand beside their points; the pointer shows those of the others."""
SIDE = 280


@figure(
    "dose",
    "Accuracy against what is left of the ticket",
    "Structure",
    "The line keeps a share of the ticket's weights at random and moves the rest elsewhere. A transplant above it is "
    "better than its overlap with the ticket explains, one below it worse. Means over replicates.",
)
def dose(tables: Tables) -> Picture:
    """Mean test accuracy at early stop against the mean share of the ticket's places that an arm keeps."""
    overlap = tables.overlap
    if overlap is None or not set(DOSE_ARMS) & set(overlap["arm"]):
        raise NothingToDrawError("No arm keeps a known share of the ticket (dose-0, dose-25, ...).")
    metric = tables.metric
    label = f"test {metric.noun} at early stop" + f" ({metric.unit})" * bool(metric.unit)
    means = tables.summary(metric.early_stop).select(
        "arm", "level", "density", mean=pl.col("mean") * metric.scale
    )
    frame = overlap.join(means, on=["arm", "level"]).with_columns(
        kind=pl.when(pl.col("arm").is_in(OWN)).then(pl.lit("of the ticket")).otherwise(pl.lit("of a donor")),
        panel=pl.struct("level", "density").map_elements(
            lambda row: panel_name(row["level"], row["density"]), return_dtype=pl.String
        ),
    )
    rows = tidy(frame.sort("level", "overlap"))
    base = alt.Chart().encode(
        x=alt.X("overlap:Q", title="share of the ticket's weights (%)"),
        y=alt.Y("mean:Q", title=label, scale=alt.Scale(zero=False)),
    )
    hints = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("overlap:Q", format=".3~g"),
        alt.Tooltip("mean:Q", format=".4~g"),
    ]
    own = base.transform_filter("datum.kind === 'of the ticket'").mark_line(point=True, color="#1d2430")
    others = base.transform_filter("datum.kind === 'of a donor'")
    points = others.mark_point(filled=True, size=60, color="#0b5c8a").encode(tooltip=hints)
    named = others.transform_filter(alt.FieldOneOfPredicate("arm", list(NAMED)))
    names = named.mark_text(align="left", dx=6, dy=-5, fontSize=9, color="#0b5c8a").encode(text="arm:N")
    said = "; ".join(f"{row['arm']} {row['overlap']:.0f}%: {row['mean']:.4g}{metric.unit}" for row in rows)
    picture: Picture = (
        alt.layer(own.encode(tooltip=hints), points, names, width=SIDE, height=SIDE)
        .facet(
            facet=panels_of(frame["panel"].unique(maintain_order=True)),
            columns=2,
            data=alt.InlineData(values=rows),
        )
        .properties(description=f"Share of the ticket that arms keep, and their test {metric.noun}. {said}.")
        .resolve_scale(y="independent")
    )
    return picture
