"""Structure: what tickets share, beside what chance gives, from the tables that `tombola compare` leaves in a run."""

from __future__ import annotations

from functools import partial

import altair as alt
import polars as pl

from tombola.alignment.words import RAW, WHOLE
from tombola.comparison.consensus import DISPERSION
from tombola.lottery.arms.catalog import TICKET
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.density import levels_axis
from tombola.report.figures.panels import first_arm, line_panels, panels_of, spread, tidy
from tombola.report.figures.style import GREY, arm_styles
from tombola.report.tables import NothingToDrawError, Tables
from tombola.text import listed, percent

PANEL = (150, 120)
"""Width and height of a panel in px."""
LAYERS = 3
"""Layers shown beside the whole network: first, last, and between them."""
NETWORK = "whole network"
SECTION = "Structure"
TWO_LINES = "split(replace(datum.label, ' (', '|('), '|')"
"""Of a panel's name, what stands in brackets below the rest: both beside each other are wider than a panel."""
OTHERS = (
    "Pairs are of one arm, from different replicates; pairs describe, decisions are taken over replicates."
)


def times_chance(tables: Tables, measure: str, side: str | None, label: str) -> Picture:
    """Mean value of a raw measure over its mean expectation against density: a line an arm, a panel a layer."""
    frame = of_one_arm(tables).filter(
        pl.col("measure") == measure, pl.col("side").eq_missing(pl.lit(side)), pl.col("aligned") == RAW
    )
    frame = frame.drop_nulls("expected")
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
    y = alt.Y("times:Q", title=label, scale=alt.Scale(zero=False))
    return line_panels(
        alt.Chart().encode(x=levels_axis(means), y=y),
        tidy(means),
        describe(means, f"{label.capitalize()}, against density", "panel"),
        {"density:N": "density (%)"},
        panels_of(names_of(means)),
        4,
        PANEL,
        behind=[alt.Chart().mark_rule(color=GREY, strokeDash=[1, 2]).encode(y=alt.datum(1))],
    )


for name, title, measure, side, label, reading in (
    (
        "overlap",
        "Overlap of masks",
        "jaccard",
        None,
        "overlap, times chance",
        "Jaccard index of two masks over what chance gives at the same densities (1), unit for unit: without a shared "
        f"start, hidden layers should be at 1. {OTHERS}",
    ),
    (
        "sign-agreement",
        "Agreement of signs",
        "sign-agreement",
        "end",
        "agreement, times chance",
        "Share of the weights that both keep which have equal signs at the end of training, over what chance gives "
        f"(1), unit for unit. {OTHERS}",
    ),
    (
        "degrees",
        "How unevenly inputs are kept",
        "out-degree-gini",
        None,
        "unevenness, times chance",
        "Gini coefficient of the number of units that keep an input (a pixel, a hidden unit), over that of the same "
        "number of weights at random places of the layer (1). Means over replicates.",
    ),
    (
        "kernels",
        "Signed 3 x 3 kernels",
        "kernel-overlap",
        "end",
        "overlap of kernels, times chance",
        "What the distributions of signed 3 x 3 kernels of two networks have in common at the end of training, over "
        f"what chance gives (1). {OTHERS}",
    ),
):
    figure(name, title, SECTION, reading)(partial(times_chance, measure=measure, side=side, label=label))


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
    frame = of_one_arm(tables).drop_nulls("expected").filter(wanted, pl.col("layer") == WHOLE)
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
    base = alt.Chart().encode(
        x=alt.X("aligned:N", title=None, sort=[RAW], axis=alt.Axis(labelAngle=-35, grid=False)),
        xOffset=alt.XOffset("arm:N", sort=list(arm_styles(means["arm"].unique()))),
    )
    chance = base.mark_tick(color=GREY, thickness=2, size=12)
    density = percent(float(means["density"][0]))
    return line_panels(
        base.encode(y=alt.Y("value:Q", title="likeness")),
        tidy(means),
        describe(means, f"Likeness of whole networks at {density}", "aligned"),
        {"aligned:N": "aligned"},
        alt.Facet("measure:N", title=f"{density} remain"),
        size=(210, 150),
        marks="points",
        behind=[chance.encode(y=alt.Y("expected:Q", title="likeness"))],
        own_axes=True,
    )


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

    def weights(field: str) -> alt.Y:
        axis = alt.Axis(grid=False, tickCount=4, format="~s")
        return alt.Y(field, title="weights", scale=alt.Scale(type="log"), axis=axis)

    axis = alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=4)
    x = alt.X("kept:O", title="replicates that keep it", axis=axis)
    base = alt.Chart().encode(x=x)
    chance = base.mark_line(color=GREY, strokeWidth=1.2).encode(y=weights("expected:Q"), detail="arm:N")
    means = ", ".join(
        f"{row['arm']} {row['value']:.3f} ({row['aligned']})"
        for row in dispersion.drop_nulls("value").iter_rows(named=True)
    )
    density, panels = percent(float(frame["density"][0])), names_of(frame)
    return line_panels(
        base.encode(y=weights("value:Q")),
        tidy(frame),
        f"Histograms of how many replicates keep each weight at {density} density, beside independent "
        f"masks, for {listed(panels)}. Variance over chance in the whole network: {means}.",
        {"kept:N": "replicates"},
        panels_of(panels, title=f"{density} remain").header(labelExpr=TWO_LINES),
        4,
        PANEL,
        marks="points",
        behind=[chance],
    )


def compared(tables: Tables) -> pl.DataFrame:
    """What was compared of the run's cells; NothingToDrawError where nothing was."""
    if tables.pairs is None or tables.pairs.is_empty():
        raise NothingToDrawError("No tickets were compared yet; `tombola compare RUN` does it.")
    return tables.pairs


def of_one_arm(tables: Tables) -> pl.DataFrame:
    """Values of one cell, and of pairs of one arm and level from different replicates, with the column `arm`."""
    pair = (pl.col("arm_a") == pl.col("arm_b")) & (pl.col("level_a") == pl.col("level_b"))
    apart = pl.col("replicate_a") != pl.col("replicate_b")
    frame = compared(tables).filter(pl.col("b").is_null() | (pair & apart))
    return frame.drop_nulls("value").rename({"arm_a": "arm"})


def in_panels(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the whole network and of a few layers, with their names in the column `panel`, in order."""
    layers = [layer for layer in frame["layer"].unique(maintain_order=True) if layer != WHOLE]
    few = [layers[i] for i in spread(list(range(len(layers))), LAYERS)]
    names = {layer: layer.removesuffix(".weight") for layer in few} | {WHOLE: NETWORK}
    order = pl.Enum(list(names.values()))
    panel = pl.col("layer").replace_strict(names, default=None, return_dtype=pl.String).cast(order)
    return frame.with_columns(panel=panel).drop_nulls("panel").sort("panel", maintain_order=True)


def names_of(frame: pl.DataFrame) -> list[str]:
    """The panels of a frame in order."""
    return frame["panel"].cast(pl.String).unique(maintain_order=True).to_list()


def describe(means: pl.DataFrame, what: str, by: str) -> str:
    """Alternative text: the ticket's value and its chance (of the first arm where there is none), by panel."""
    first = first_arm(means)
    sentences = [
        f"{row[by]}: {row['value']:.4g}, by chance {row['expected']:.4g}."
        for row in means.filter(pl.col("arm") == first).iter_rows(named=True)
    ]
    return f"{what}, for {listed(arm_styles(means['arm'].unique()))}. {first}: {' '.join(sentences)}"
