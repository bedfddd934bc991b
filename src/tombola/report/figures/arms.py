"""Every arm at one density: where there are too many for lines against density."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from tombola.lottery.arms.catalog import ARMS, TICKET
from tombola.report.figures.base import Picture, figure
from tombola.report.figures.errors import as_errors, cut, error_axis, is_log
from tombola.report.figures.panels import folded, tidy
from tombola.report.figures.style import DENSE, GREY
from tombola.report.tables import NothingToDrawError, Tables
from tombola.text import percent

ROW = 19
"""Height of an arm in px."""
KINDS = {"ticket and dense": "#004488", "controls": "#d55e00", "takes from donors": "#009e73"}
"""Kind of an arm -> its colour."""
ROUTES = {"routes": "#c06c9c"}
"""The same of the arms that make tickets from other tickets, where a run has such."""


@figure(
    "arms",
    "Every arm",
    "Accuracy",
    "At the density with most arms. Lower is better; the axis is logarithmic. Means over replicates with their 95% "
    "t-intervals; the dashed line is the ticket.",
)
def arms(tables: Tables) -> Picture:
    """Test error (%) of every arm, one row each, with its 95% interval."""
    metric = tables.metric
    frame = tables.summary(metric.early_stop)
    if not folded(frame)[1]:
        raise NothingToDrawError("The arms are few enough for the other pictures.")
    level = most_arms(frame)
    here = frame.filter((pl.col("level") == level) | ((pl.col("level") == 0) & (pl.col("arm") == TICKET)))
    here = here.with_columns(
        pl.col("mean", "low", "high") * metric.scale,
        arm=pl.when(pl.col("level") == 0).then(pl.lit(DENSE)).otherwise("arm"),
    )
    here = (as_errors(here) if metric.more_is_better else here).sort("mean", "arm")
    density = percent(float(frame.filter(pl.col("level") == level)["density"].mean()))  # type: ignore[arg-type]
    rows = tidy(here.select("arm", "n", "mean", "low", "high"), metric.digits)
    rows = [
        row | {"what": row["arm"], "kind": "routes" if row["arm"] in tables.routes else kind(row["arm"])}
        for row in (cut(rows) if is_log(here) else rows)
    ]
    kinds = {**KINDS, **(ROUTES if tables.routes else {})}
    what = "error at early stop (%)" if metric.more_is_better else f"{metric.noun} at early stop"
    label = f"test {what} at {density}"
    found: Any = error_axis(here, label).to_dict()
    x = alt.X(
        "mean:Q", title=label, scale=alt.Scale(**found["scale"]), axis=alt.Axis(**found.get("axis", {}))
    )
    base = alt.Chart().encode(
        y=alt.Y(
            "what:N", sort=[row["what"] for row in rows], title=None, axis=alt.Axis(grid=True, labelLimit=200)
        ),
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=list(kinds), range=list(kinds.values())),
            legend=alt.Legend(columns=2),
        ),
    )
    ticket = alt.Chart().transform_filter(f"datum.what === '{TICKET}'")
    hints = [alt.Tooltip(name) for name in ("what:N", "mean:Q", "interval:N", "n:Q")]
    layers = [
        ticket.mark_rule(strokeDash=[3, 3], color=GREY).encode(x=x),
        base.mark_point(filled=True, size=60).encode(x=x, tooltip=hints),
    ]
    if any(row["low"] is not None for row in rows):
        layers.insert(1, base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=label), x2="high:Q"))
    text = ", ".join(f"{row['what']} {row['mean']:.{metric.digits}f}" for row in rows)
    return alt.layer(
        *layers,
        data=alt.InlineData(values=rows),
        width=300,
        height=ROW * len(rows),
        description=f"Test {what} of every arm at {density}: {text}.",
    )


def most_arms(frame: pl.DataFrame) -> int:
    """The level below dense with the most arms, of several the sparsest."""
    below = frame.filter(pl.col("level") > 0).group_by("level").agg(pl.col("arm").n_unique())
    return int(below.sort("arm", "level")["level"][-1])


def kind(arm: str) -> str:
    """What sort of arm it is; one of the study's own is a control."""
    if arm in (TICKET, DENSE):
        return "ticket and dense"
    donated = arm in ARMS and ARMS[arm].traits & {"donor", "twin"}
    return "takes from donors" if donated else "controls"
