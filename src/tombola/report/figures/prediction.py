"""How well membership in tickets is told before training, by layer and by how far training has come; and by what."""

from __future__ import annotations

import altair as alt
import polars as pl

from tombola.alignment.words import WHOLE
from tombola.analysis.membership.prediction import Prediction, estimates
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.panels import panels_of, replicates_of, tidy
from tombola.report.tables import NothingToDrawError, Tables

NOTHING = "Nothing was predicted yet; `tombola predict` tells each replicate's ticket from the others."
MODEL = "boosting"
"""The model whose features are shown."""
MOST = 8
"""Features that a panel has."""


@figure(
    "prediction",
    "Who will live, told before training",
    "Prediction",
    "AUC of what tells a replicate's ticket from the others' after k steps of training; 0.5 is chance, and what a "
    "model fitted on shuffled labels has. Means over replicates; bars are their 95% t-intervals.",
)
def prediction(tables: Tables) -> Picture:
    """AUC against steps of training, a line for each score and model, a panel for each layer."""
    frame = estimates(_found(tables)).rename({"by": "told by"}).drop("feature")
    layers = [*dict.fromkeys(frame.filter(pl.col("layer") != WHOLE)["layer"]), WHOLE]
    rows = tidy(frame, 3)
    base = alt.Chart().encode(
        x=alt.X("steps:Q", title="steps of training (k)"),
        color=alt.Color("told by:N", title="told by"),
    )
    tooltip = [
        "layer:N",
        "told by:N",
        "steps:Q",
        alt.Tooltip("mean:Q", title="AUC", format=".3f"),
        "interval:N",
    ]
    lines = base.mark_line(point=True).encode(
        y=alt.Y("mean:Q", title="AUC", scale=alt.Scale(zero=False)), tooltip=tooltip
    )
    bars = base.mark_rule().encode(y="low:Q", y2="high:Q")
    last = {
        row["told by"]: row for row in rows if row["layer"] == WHOLE and row["steps"] == frame["steps"].max()
    }
    said = "; ".join(f"{by} {row['mean']:.3f}" for by, row in last.items())
    picture: Picture = (
        alt.layer(bars, lines, width=220, height=180)
        .facet(facet=panels_of(layers, "layer:N"), columns=2, data=alt.InlineData(values=rows))
        .properties(
            description=f"AUC by which tickets are told, {replicates_of(frame)}, all layers at the last k: {said}.",
        )
    )
    return picture


@figure(
    "prediction-importance",
    "What membership is told by",
    "Prediction",
    f"AUC that {MODEL} loses in a layer where one feature is in random order, at the first and the last k: the largest "
    "ones. Means over replicates. Features that say the same share what they are worth.",
)
def importance(tables: Tables) -> Picture:
    """Permutation importance of features, a panel for each layer."""
    frame = estimates(_found(tables), "importance").filter(by=MODEL).drop("by")
    layers, ends = frame["layer"].unique(maintain_order=True), (frame["steps"].min(), frame["steps"].max())
    frame = (
        frame.filter(pl.col("steps").is_in(list(ends)))
        .sort("mean", descending=True)
        .group_by("layer", "steps", maintain_order=True)
        .head(MOST)
    )
    if frame.is_empty():
        raise NothingToDrawError(NOTHING)
    rows = tidy(frame.with_columns(k=pl.format("k = {}", "steps")), 3)
    best = rows[0]
    base = alt.Chart().encode(
        y=alt.Y("feature:N", title=None, sort=alt.EncodingSortField("mean", "max", "descending")),
        color=alt.Color("k:N", title=None),
        tooltip=["layer:N", "feature:N", "k:N", alt.Tooltip("mean:Q", format=".3f"), "interval:N"],
    )
    bars = base.mark_rule().encode(x=alt.X("low:Q", title="AUC lost"), x2="high:Q")
    points = base.mark_point(filled=True, size=50).encode(x=alt.X("mean:Q", title="AUC lost"))
    picture: Picture = (
        alt.layer(bars, points, width=220, height=220)
        .facet(facet=panels_of(layers, "layer:N"), columns=2, data=alt.InlineData(values=rows))
        .resolve_scale(y="independent")
        .properties(
            description=f"Features by the AUC lost without them, {replicates_of(frame)}: most by "
            f"{best['feature']} in {best['layer']}, {best['mean']:.3f}."
        )
    )
    return picture


def _found(tables: Tables) -> Prediction:
    if tables.prediction is None or tables.prediction.values.is_empty():
        raise NothingToDrawError(NOTHING)
    return tables.prediction
