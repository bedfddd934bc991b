"""Function: how alike trained networks are in what they say, beside what chance gives."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.alignment.words import RAW, WHOLE
from tombola.comparison.measures.base import MEASURES
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.density import levels_axis
from tombola.report.figures.panels import first_arm, line_panels, panels_of, tidy
from tombola.report.figures.similarity import OTHERS, SECTION, of_one_arm
from tombola.report.figures.style import GREY, arm_styles
from tombola.report.tables import NothingToDrawError, Tables
from tombola.text import listed, percent


@figure(
    "function",
    "Likeness of what networks say",
    SECTION,
    "Trained networks of different replicates on the same examples (points) beside chance at the same accuracies (grey "
    f"dots; a barrier has no chance level). {OTHERS}",
)
def function(tables: Tables) -> Picture:
    """Each measure of function over whole networks against density, a panel a measure."""
    names = [name for name, measure in MEASURES.items() if measure.family == "function"]
    frame = of_one_arm(tables).filter(
        pl.col("measure").is_in(names), pl.col("aligned") == RAW, pl.col("layer") == WHOLE
    )
    if frame.is_empty():
        raise NothingToDrawError(
            "What networks say was not compared yet; `tombola compare RUN --measures function` does it."
        )
    means = (
        frame.group_by("measure", "arm", "density")
        .agg(pl.len().alias("pairs"), pl.col("value", "expected").mean())
        .sort("measure", "arm", "density", descending=[False, False, True])
        .with_columns(pl.col("density") * 100)
    )
    base = alt.Chart().encode(x=levels_axis(means))
    # Points, so that a single density shows too: a line of one point is none. A panel of its own axis where nothing has
    # a chance level would have an extent of nothing, so there it is the value, unseen.
    known = "isValid(datum.expected)"
    chance = (
        base.mark_point(color=GREY, size=14, filled=True)
        .transform_calculate(chance=f"{known} ? datum.expected : datum.value")
        .encode(
            y=alt.Y("chance:Q", title=None),
            detail="arm:N",
            opacity=alt.condition(known, alt.value(1), alt.value(0)),
        )
    )
    picture: Picture = line_panels(
        base.encode(y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))),
        tidy(means),
        describe_function(means),
        {"measure:N": "measure", "density:N": "density (%)"},
        panels_of(means["measure"].unique(maintain_order=True), "measure:N"),
        columns=3,
        size=(170, 130),
        behind=[chance],
        own_axes=True,
    ).resolve_axis(x="independent")  # else a row that is not full has an axis without a panel
    return picture


def describe_function(means: pl.DataFrame) -> str:
    """Alternative text: each measure's value and chance at the sparsest density, of the ticket or the first arm."""
    first = first_arm(means)
    sparsest = means.filter(
        pl.col("arm") == first, pl.col("density") == pl.col("density").min().over("measure")
    )
    sentences = [
        f"{row['measure']} {row['value']:.4g}"
        + (f", by chance {row['expected']:.4g}." if row["expected"] is not None else ".")
        for row in sparsest.iter_rows(named=True)
    ]
    density = percent(float(sparsest["density"][0]) / 100) if len(sparsest) else "no density"
    return (
        f"How alike trained networks are in what they say, against density, for "
        f"{listed(arm_styles(means['arm'].unique()))}. {first} at {density}: {' '.join(sentences)}"
    )
