"""Accuracies as pictures show them: as errors on a log axis, where one percent and two are as far apart as ten and
twenty."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from tombola.report.figures.style import round_steps


def as_errors(frame: pl.DataFrame) -> pl.DataFrame:
    """Means and intervals of accuracies (%) as those of errors (%)."""
    return frame.with_columns(mean=100 - pl.col("mean"), low=100 - pl.col("high"), high=100 - pl.col("low"))


def is_log(frame: pl.DataFrame) -> bool:
    """Whether errors have a log axis: not where one is 0, which it has no place for."""
    return bool((frame["mean"] > 0).all())


def cut(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, intervals that end below half of the least mean (of their run) drawn to there, where the axis ends; as
    `interval` they keep their end."""
    least: dict[Any, float] = {}
    for row in rows:
        least[row.get("run")] = min(row["mean"], least.get(row.get("run"), row["mean"]))
    return [
        row if row["low"] is None else row | {"low": max(row["low"], least[row.get("run")] / 2)}
        for row in rows
    ]


def error_axis(frame: pl.DataFrame, label: str, own_axes: bool = False, clamp: bool = False) -> alt.Y:
    """Log, with round steps where all plots have one axis (`own_axes` have their own), else linear. With `clamp` it
    spans the means, and what is wider ends at the edge."""
    if not is_log(frame):
        return alt.Y("mean:Q", title=label, scale=alt.Scale(zero=True, nice=True))
    if own_axes:
        return alt.Y(
            "mean:Q",
            title=label,
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(tickCount=4, format="~g"),
        )
    ends = (
        (frame["mean"],)
        if clamp
        else (frame["low"].fill_null(frame["mean"]), frame["high"].fill_null(frame["mean"]))
    )
    least = float(frame["mean"].min())  # type: ignore[arg-type]  # not empty
    low = max(float(ends[0].min()), least / 2) * 0.92  # type: ignore[arg-type]
    high = float(ends[-1].max()) * 1.08  # type: ignore[arg-type]
    scale = alt.Scale(type="log", domain=[low, high], clamp=True, nice=False)
    return alt.Y("mean:Q", title=label, scale=scale, axis=alt.Axis(values=_steps(low, high), format=".4~g"))


def _steps(low: float, high: float) -> list[float]:
    """Round steps, closer ones where less than three would be within."""
    found = round_steps(low, high)
    if len(found) > 2:
        return found
    digits = 1 if high < 3 else 0
    between = {round(low * (high / low) ** (i / 4), digits) for i in range(5)}
    return sorted(step for step in between if low <= step <= high) or found
