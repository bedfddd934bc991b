"""Structure: what tickets share, beside what chance gives, from the tables that `tombola compare` leaves in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from tombola.alignment.words import RAW, WHOLE
from tombola.comparison.consensus import DISPERSION
from tombola.lottery.arms.catalog import TICKET
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.density import density_axis
from tombola.report.figures.heatmaps import spread
from tombola.report.figures.style import GREY, arm_channels, arm_pick, arm_styles, faded
from tombola.report.tables import NothingToDrawError, Tables
from tombola.text import listed, percent

PANEL = (150, 120)
"""Width and height of a panel in px."""
LAYERS = 3
"""Layers shown beside the whole network: first, last, and between them."""
NETWORK = "whole network"
NOTHING = "No tickets were compared yet; `tombola compare RUN` does it."
SECTION = "Structure"
OTHERS = (
    "Pairs are of one arm, from different replicates; pairs describe, decisions are taken over replicates."
)


@figure(
    "overlap",
    "Overlap of masks",
    SECTION,
    "Jaccard index of two masks over what chance gives at the same densities (1), unit for unit: without a shared "
    f"start, hidden layers should be at 1. {OTHERS}",
)
def overlap(tables: Tables) -> Picture:
    """Raw Jaccard index over its expectation against density, a panel a layer."""
    return times_chance(own_pairs(tables), "jaccard", None, "overlap, times chance")


@figure(
    "sign-agreement",
    "Agreement of signs",
    SECTION,
    "Share of the weights that both keep which have equal signs at the end of training, over what chance gives (1), "
    f"unit for unit. {OTHERS}",
)
def sign_agreement(tables: Tables) -> Picture:
    """Raw sign agreement at the end over its expectation against density, a panel a layer."""
    return times_chance(own_pairs(tables), "sign-agreement", "end", "agreement, times chance")


@figure(
    "degrees",
    "How unevenly inputs are kept",
    SECTION,
    "Gini coefficient of the number of units that keep an input (a pixel, a hidden unit), over that of the same number "
    "of weights at random places of the layer (1). Means over replicates.",
)
def degrees(tables: Tables) -> Picture:
    """Out-degree Gini over its expectation against density, a panel a layer."""
    return times_chance(own_values(tables), "out-degree-gini", None, "unevenness, times chance")


@figure(
    "kernels",
    "Signed 3 x 3 kernels",
    SECTION,
    "What the distributions of signed 3 x 3 kernels of two networks have in common at the end of training, over what "
    f"chance gives (1). {OTHERS}",
)
def kernels(tables: Tables) -> Picture:
    """Overlap of kernel patterns over its expectation against density, a panel a layer."""
    return times_chance(own_pairs(tables), "kernel-overlap", "end", "overlap of kernels, times chance")


@figure(
    "aligned",
    "Likeness under alignment",
    SECTION,
    "Points are pairs of tickets or of a control, raw and with hidden units matched in different ways; grey bars are "
    f"what layer-shuffled masks reach when they are matched in the same way. {OTHERS}",
)
def aligned(tables: Tables) -> Picture:
    """Value and expectation of the whole network's overlap and sign similarity under each alignment."""
    wanted = pl.col("measure").is_in(["jaccard", "sign-similarity"]) & (
        pl.col("side").is_null() | (pl.col("side") == "end")
    )
    frame = own_pairs(tables).filter(wanted, pl.col("layer") == WHOLE)
    if frame.filter(pl.col("aligned") != RAW).is_empty():
        raise NothingToDrawError(
            "No tickets were aligned yet; `tombola compare RUN --aligned raw,weights@dense,mask` does it."
        )
    frame = frame.filter(pl.col("density") == frame["density"].min())
    means = (
        frame.group_by("measure", "aligned", "arm", maintain_order=True)
        .agg(pl.col("density").first(), pl.len().alias("pairs"), pl.col("value", "expected").mean())
        .sort("measure", "aligned", "arm")
    )
    arms = list(arm_styles(means["arm"].unique()))
    channels, pick = arm_channels(arms), arm_pick()
    base = alt.Chart().encode(
        x=alt.X("aligned:N", title=None, sort=[RAW], axis=alt.Axis(labelAngle=-35, grid=False)),
        xOffset=alt.XOffset("arm:N", sort=arms),
    )
    chance = base.mark_tick(color=GREY, thickness=2, size=12).encode(y=alt.Y("expected:Q", title="likeness"))
    points = base.mark_point(filled=True).encode(
        y=alt.Y("value:Q", title="likeness"),
        color=channels["color"],
        shape=channels["shape"],
        opacity=faded(pick, 1),
        tooltip=hints(aligned="aligned"),
    )
    density = percent(float(means["density"][0]))
    picture: Picture = (
        alt.layer(chance, points.add_params(pick), width=210, height=150)
        .facet(
            facet=alt.Facet("measure:N", title=f"{density} remain"),
            columns=2,
            data=alt.InlineData(values=tidy(means)),
        )
        .resolve_scale(y="independent")
        .properties(description=describe(means, f"Likeness of whole networks at {density}", "aligned"))
    )
    return picture


def pairs_of(tables: Tables) -> pl.DataFrame:
    """The rows of pairs of the run's cells; NothingToDrawError where there are none."""
    return _measured(tables).drop_nulls("b")


def own_values(tables: Tables) -> pl.DataFrame:
    """What was measured of one cell alone, with the column `arm`."""
    alone = _measured(tables).filter(pl.col("b").is_null())
    return alone.drop_nulls(["value", "expected"]).rename({"arm_a": "arm"})


def _measured(tables: Tables) -> pl.DataFrame:
    if tables.pairs is None or tables.pairs.is_empty():
        raise NothingToDrawError(NOTHING)
    return tables.pairs


def own_pairs(tables: Tables) -> pl.DataFrame:
    """Pairs of one arm that have an expectation."""
    return pairs_of_an_arm(tables).drop_nulls("expected")


def pairs_of_an_arm(tables: Tables) -> pl.DataFrame:
    """Pairs of one arm and level, of different replicates, with the column `arm`."""
    same = (pl.col("arm_a") == pl.col("arm_b")) & (pl.col("level_a") == pl.col("level_b"))
    frame = pairs_of(tables).filter(same, pl.col("replicate_a") != pl.col("replicate_b"))
    return frame.drop_nulls("value").rename({"arm_a": "arm"})


def times_chance(rows: pl.DataFrame, measure: str, side: str | None, label: str) -> Picture:
    """Mean value of a raw measure over its mean expectation against density: a line an arm, a panel a layer."""
    frame = rows.filter(
        pl.col("measure") == measure, pl.col("side").eq_missing(pl.lit(side)), pl.col("aligned") == RAW
    )
    if frame.is_empty():
        raise NothingToDrawError(
            f"Nothing was compared by {measure} yet; `tombola compare RUN --measures {measure}` does it."
        )
    means = (
        in_panels(frame)
        .group_by("panel", "arm", "density", maintain_order=True)
        .agg(pl.len().alias("pairs"), pl.col("value", "expected").mean())
        .filter(pl.col("expected") > 0)
        .with_columns(pl.col("density") * 100, times=pl.col("value") / pl.col("expected"))
    )
    channels, pick = arm_channels(means["arm"].unique()), arm_pick()
    y = alt.Y("times:Q", title=label, scale=alt.Scale(zero=False))
    base = alt.Chart().encode(
        x=density_axis(float(means["density"].min())).title("density (%)"),  # type: ignore[arg-type]
        y=y,
        color=channels["color"],
    )
    lines = base.mark_line().encode(strokeDash=channels["strokeDash"], opacity=faded(pick, 1))
    points = base.mark_point(filled=True).encode(
        shape=channels["shape"], opacity=faded(pick, 1), tooltip=hints(density="density (%)")
    )
    rule = alt.Chart().mark_rule(color=GREY, strokeDash=[1, 2]).encode(y=alt.datum(1))
    picture: Picture = (
        alt.layer(rule, lines, points.add_params(pick), width=PANEL[0], height=PANEL[1])
        .facet(
            facet=alt.Facet("panel:N", title=None, sort=panels_of(means)),
            columns=4,
            data=alt.InlineData(values=tidy(means)),
        )
        .properties(description=describe(means, f"{label.capitalize()}, against density", "panel"))
    )
    return picture


def in_panels(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the whole network and of a few layers, with their names in the column `panel`, in order."""
    layers = [layer for layer in frame["layer"].unique(maintain_order=True) if layer != WHOLE]
    few = [layers[i] for i in spread(list(range(len(layers))), LAYERS)]
    names = {layer: layer.removesuffix(".weight") for layer in few} | {WHOLE: NETWORK}
    order = pl.Enum(list(names.values()))
    panel = pl.col("layer").replace_strict(names, default=None, return_dtype=pl.String).cast(order)
    return frame.with_columns(panel=panel).drop_nulls("panel").sort("panel", maintain_order=True)


def panels_of(frame: pl.DataFrame) -> list[str]:
    """The panels of a frame in order."""
    return frame["panel"].cast(pl.String).unique(maintain_order=True).to_list()


def tidy(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for a chart, floats at six figures."""
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    return frame.with_columns(pl.col(name).round_sig_figs(6) for name in floats).to_dicts()


def hints(**first: str) -> Sequence[alt.Tooltip]:
    """What the pointer shows: the arm, the fields of `first` (field -> title), value and chance."""
    return [
        alt.Tooltip("arm:N", title="arm"),
        *(alt.Tooltip(f"{field}:N", title=title) for field, title in first.items()),
        alt.Tooltip("value:Q", title="value", format=",.4~g"),
        alt.Tooltip("expected:Q", title="by chance", format=",.4~g"),
    ]


def describe(means: pl.DataFrame, what: str, by: str) -> str:
    """Alternative text: the ticket's value and its chance (of the first arm where there is none), by panel."""
    arms = list(arm_styles(means["arm"].unique()))
    first = TICKET if TICKET in arms else arms[0]
    sentences = [
        f"{row[by]}: {row['value']:.4g}, by chance {row['expected']:.4g}."
        for row in means.filter(pl.col("arm") == first).iter_rows(named=True)
    ]
    return f"{what}, for {listed(arms)}. {first}: {' '.join(sentences)}"


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
