"""What many tickets share: how many replicates keep each weight, and which masks are alike."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.compare import DISPERSION, RAW, WHOLE
from tombola.lottery import TICKET
from tombola.report.figures import Picture, figure, listed
from tombola.report.structure import (
    NOTHING,
    PANEL,
    SECTION,
    hints,
    in_panels,
    pairs_of,
    panels_of,
    tidy,
)
from tombola.report.style import GREY, arm_channels, arm_pick, arm_styles, faded
from tombola.report.tables import NothingToDrawError, Tables, percent


@figure(
    "consensus",
    "How many replicates keep a weight",
    SECTION,
    "Weights that are kept by so many replicates (points) beside the number that independent masks of the same counts "
    "give (grey lines); more at the right end means a common core. At the sparsest density that was compared.",
)
def consensus(tables: Tables) -> Picture:
    """Histogram of how many replicates keep each weight, against its expectation, by layer and alignment."""
    if tables.consensus is None or tables.consensus.is_empty():
        raise NothingToDrawError(
            "The masks of several replicates were not compared yet; `tombola compare RUN` does it."
        )
    frame = tables.consensus.filter(pl.col("density") == tables.consensus["density"].min())
    dispersion = frame.filter(pl.col("quantity") == DISPERSION, pl.col("layer") == WHOLE)
    frame = in_panels(frame.filter(pl.col("quantity") != DISPERSION))
    # A reinit has the ticket's own masks, and its points would hide the ticket's.
    masks = {arm: part["value"].to_list() for (arm,), part in frame.filter(aligned=RAW).group_by("arm")}
    copies = [arm for arm, seen in masks.items() if arm != TICKET and seen == masks.get(TICKET)]
    frame = frame.filter(~pl.col("arm").is_in(copies))
    if frame["aligned"].n_unique() > 1:
        frame = frame.sort(pl.col("aligned") != RAW, "aligned", "panel", maintain_order=True)
        frame = frame.with_columns(panel=pl.format("{} ({})", "panel", "aligned"))
    frame = frame.select("arm", "panel", "density", "kept", "value", "expected").with_columns(
        # A log axis has no zero; an expectation of a small part of one weight is none.
        pl.when(pl.col(name) >= 0.5).then(pl.col(name)).alias(name)
        for name in ("value", "expected")
    )
    channels, pick = arm_channels(frame["arm"].unique()), arm_pick()

    def weights(field: str) -> alt.Y:
        axis = alt.Axis(grid=False, tickCount=4, format="~s")
        return alt.Y(f"{field}:Q", title="weights", scale=alt.Scale(type="log"), axis=axis)

    base = alt.Chart().encode(x=alt.X("kept:O", title="replicates that keep it", axis=alt.Axis(labelAngle=0)))
    chance = base.mark_line(color=GREY, strokeWidth=1.2).encode(y=weights("expected"), detail="arm:N")
    points = base.mark_point(filled=True).encode(
        y=weights("value"),
        color=channels["color"],
        shape=channels["shape"],
        opacity=faded(pick, 1),
        tooltip=hints(kept="replicates"),
    )
    means = ", ".join(
        f"{row['arm']} {row['value']:.3f} ({row['aligned']})"
        for row in dispersion.drop_nulls("value").iter_rows(named=True)
    )
    density = percent(float(frame["density"][0]))
    picture: Picture = (
        alt.layer(chance, points.add_params(pick), width=PANEL[0], height=PANEL[1])
        .facet(
            facet=alt.Facet("panel:N", title=f"{density} remain", sort=panels_of(frame)),
            columns=4,
            data=alt.InlineData(values=tidy(frame)),
        )
        .properties(
            description=f"Histograms of how many replicates keep each weight at {density} density, beside independent "
            f"masks, for {listed(panels_of(frame))}. Variance over chance in the whole network: {means}."
        )
    )
    return picture


@figure(
    "similarity",
    "Which tickets are alike",
    SECTION,
    "Jaccard index of every two masks over chance (1), whole networks, unit for unit, at the sparsest density that was "
    "compared; the scale ends at the most alike pair of different replicates. A reinit has the ticket's own mask.",
)
def similarity(tables: Tables) -> Picture:
    """Heat map of raw Jaccard over its expectation, by arm and replicate."""
    frame = pairs_of(tables).filter(
        pl.col("measure") == "jaccard",
        pl.col("aligned") == RAW,
        pl.col("layer") == WHOLE,
        pl.col("expected") > 0,
    )
    frame = frame.filter(pl.col("level_a") == pl.col("level_b"), pl.col("draw_a") == 0, pl.col("draw_b") == 0)
    if frame.is_empty():
        raise NothingToDrawError(NOTHING)
    frame = frame.filter(pl.col("density") == frame["density"].min())
    frame = frame.with_columns(
        times=pl.col("value") / pl.col("expected"),
        one=pl.format("{} {}", "arm_a", "replicate_a"),
        other=pl.format("{} {}", "arm_b", "replicate_b"),
    )
    both = pl.concat(
        [
            frame.select("one", "other", "value", "times"),
            frame.select("value", "times", one="other", other="one").select("one", "other", "value", "times"),
        ]
    )
    places = pl.concat(
        [frame.select(arm=f"arm_{side}", replicate=f"replicate_{side}") for side in ("a", "b")]
    ).unique()
    ranks = {arm: rank for rank, arm in enumerate(arm_styles(places["arm"].unique()))}
    order = [
        f"{arm} {r}" for arm, r in sorted(places.iter_rows(), key=lambda place: (ranks[place[0]], place[1]))
    ]
    across = frame.filter(pl.col("replicate_a") != pl.col("replicate_b"))["times"].to_list() or [1.0]
    top = max(1.05, *across)
    colour = alt.Color(
        "times:Q",
        title="overlap, times chance",
        scale=alt.Scale(scheme="viridis", domain=[min(1.0, *both["times"].to_list()), top], clamp=True),
        legend=alt.Legend(type="gradient", gradientLength=200, gradientThickness=10, tickCount=4),
    )
    side = min(420, max(120, 14 * len(order)))
    picture: Picture = (
        alt.Chart(alt.InlineData(values=tidy(both)))
        .mark_rect(aria=False)
        .encode(
            x=alt.X("one:N", title=None, sort=order, axis=alt.Axis(labelAngle=-60, labelOverlap=False)),
            y=alt.Y("other:N", title=None, sort=order, axis=alt.Axis(labelOverlap=False)),
            color=colour,
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
