"""The two charts that every picture is: lines and points of arms, and maps of tiles, each alone or in panels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.report.figures.base import Picture, described
from tombola.report.figures.style import (
    DENSE,
    MOST_SERIES,
    ArmStyle,
    arm_channels,
    arm_pick,
    arm_styles,
    faded,
)
from tombola.stats.intervals import FEWEST
from tombola.text import counted, listed, percent

MOST_PANELS = 4
"""Levels or layers that have a panel: the first, the last, and those spread evenly between them."""
CURVES = (230, 150)
"""Width and height of a panel of curves in px."""
FIRST = (TICKET, "reinit", "random-mask", "rewire", "one-shot")
"""Arms that are drawn before others where there are many."""
FEW_LEVELS = 2
"""Levels of an arm that is points rather than a line."""


def line_panels(
    base: alt.Chart,
    rows: list[dict[str, Any]],
    description: str,
    tooltip: Mapping[str, str],
    facet: alt.Facet | None = None,
    columns: int = 2,
    size: tuple[float, float] = CURVES,
    *,
    label: str = "",
    marks: str = "lines and points",
    behind: Sequence[alt.Chart] = (),
    styles: Mapping[str, ArmStyle] | None = None,
    own_axes: bool = False,
    left_out: str = "",
) -> Picture:
    """The arms of `rows` in one plot, or in one for each value of `facet`: what is `behind`, intervals, lines, points.

    `base` encodes x and y, and `marks` are 'lines', 'points' or both; lines alone are thin and cut at the edge. Rows
    hold a `mean` that is called `label`, with `interval` and `n` (see `tidy`), else `value` and `expected`. The
    pointer shows these, and before them `tooltip` (field -> title). Plots are of `size` px, with `own_axes`
    for y where their values lie far apart; see `arm_channels` for `styles`. `left_out` is what a caption says of arms
    that are not drawn.
    """
    points = "points" in marks
    channels, pick = arm_channels({row["arm"] for row in rows}, points, styles), arm_pick()
    arms, shown = base.encode(color=channels["color"]), faded(pick, 1)
    layers = list(behind)
    # Fewer than three replicates have no interval, and Vega complains about an extent of nothing.
    if any(row.get("low") is not None for row in rows):
        band = arms.mark_area() if points else arms.mark_area(clip=True)
        layers.append(band.encode(y=alt.Y("low:Q", title=label), y2="high:Q", opacity=faded(pick, 0.14)))
        if points:
            bars = arms.mark_rule(strokeWidth=1)
            layers.append(bars.encode(y=alt.Y("low:Q"), y2="high:Q", opacity=faded(pick, 0.45)))
    if "lines" in marks:
        line = arms.mark_line() if points else arms.mark_line(strokeWidth=1.5, clip=True)
        layers.append(line.encode(strokeDash=channels["strokeDash"], opacity=shown))
    if points:
        layers.append(arms.mark_point(filled=True).encode(shape=channels["shape"], opacity=shown))
    layers[-1] = layers[-1].encode(tooltip=_hints(tooltip, label)).add_params(pick)
    data, (width, height) = alt.InlineData(values=rows), size
    said = described(description, left_out)
    if facet is None:
        return alt.layer(*layers, data=data, width=width, height=height, **said)
    picture: Picture = (
        alt.layer(*layers, width=width, height=height)
        .facet(facet=facet, columns=columns, data=data)
        .properties(**said)
    )
    return picture.resolve_scale(y="independent") if own_axes else picture


def _hints(first: Mapping[str, str], label: str) -> list[alt.Tooltip]:
    means = [
        alt.Tooltip("mean:Q", title=label, format=",.4~r"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("n:Q", title="replicates"),
    ]
    beside = [_hint("value:Q", "value"), _hint("expected:Q", "by chance")]
    leading = [_hint(field, title) for field, title in {"arm:N": "arm", **first}.items()]
    return [*leading, *(means if label else beside)]


def _hint(field: str, title: str) -> alt.Tooltip:
    """A field under its title, numbers at four figures."""
    number = field.endswith(":Q")
    return alt.Tooltip(field, title=title, format=",.4~g") if number else alt.Tooltip(field, title=title)


def panels_of(names: Iterable[str], field: str = "panel:N", title: str | None = None) -> alt.Facet:
    """A panel for each of the names, in their order."""
    return alt.Facet(field, title=title, sort=list(names))


def panel_name(level: int, density: float) -> str:
    """'dense (100%)' or '21.1% remain (level 7)'."""
    return f"{DENSE} ({percent(density)})" if level == 0 else f"{percent(density)} remain (level {level})"


def spread(levels: list[int], most: int = MOST_PANELS) -> list[int]:
    """At most so many of the levels, the first and last among them, evenly spread by index."""
    if len(levels) <= most:
        return levels
    return [levels[round(i * (len(levels) - 1) / (most - 1))] for i in range(most)]


def tidy(frame: pl.DataFrame, digits: int | None = None) -> list[dict[str, Any]]:
    """Rows for a chart: floats at six figures, null where they are not finite, for which JSON has no word.

    With `digits` the interval from `low` to `high` is spelt out as well: '97.10 to 97.90'.
    """
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    rows = frame.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name).round_sig_figs(6)).alias(name) for name in floats
    ).to_dicts()
    if digits is None:
        return rows
    none = "none (fewer than three replicates)"
    return [
        row
        | {
            "interval": none
            if row["low"] is None or row["high"] is None
            else f"{row['low']:.{digits}f} to {row['high']:.{digits}f}"
        }
        for row in rows
    ]


def leading(arms: pl.DataFrame, most: int = MOST_SERIES) -> list[str]:
    """The arms that lines are drawn of and prose speaks of, at most so many, of a frame with `arm` and `level`.

    All where they are few; else FIRST come first, then those of most levels, and arms at no more than FEW_LEVELS, which
    make no line, are left out where others are at more.
    """
    levels = dict.fromkeys(arms["arm"].unique(), 0)
    below = arms.filter(pl.col("level") > 0).group_by("arm").agg(pl.col("level").n_unique())
    levels |= dict(below.iter_rows())
    full = max(levels.values(), default=0)
    rank = {arm: i for i, arm in enumerate(FIRST)}
    kept = [
        arm
        for arm, count in levels.items()
        if len(levels) <= most or arm in rank or count > FEW_LEVELS or count == full
    ]
    return sorted(kept, key=lambda arm: (rank.get(arm, len(rank)), -levels[arm], arm))[:most]


def folded(frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The frame with the `leading` arms of one run alone, and a sentence that says where the others are; '' where
    there are none. Several runs have all arms, in panels."""
    chosen, arms = leading(frame), frame["arm"].n_unique()
    if "run" in frame.columns or len(chosen) == arms:
        return frame, ""
    left = counted(arms - len(chosen), "other")
    said = f"Lines are of {listed(chosen)}; the picture “Every arm” and the table of levels have the {left}."
    return frame.filter(pl.col("arm").is_in(chosen)), said


def first_arm(frame: pl.DataFrame) -> str:
    """The arm that an alternative text speaks of: the ticket, or the first where there is none."""
    arms = list(arm_styles(frame["arm"].unique()))
    return TICKET if TICKET in arms else arms[0]


def in_sentences(
    frame: pl.DataFrame, panels: Iterable[str], best: Callable[[pl.Expr], pl.Expr], digits: int
) -> str:
    """The best mean of each arm in each panel: 'dense (100%): ticket 0.12, reinit 0.13. ...'."""
    found = {
        (panel, arm): mean
        for panel, arm, mean in frame.group_by("panel", "arm").agg(best(pl.col("mean"))).iter_rows()
    }
    order = list(arm_styles(frame["arm"].unique()))
    return " ".join(
        f"{panel}: "
        + ", ".join(f"{a} {found[panel, a]:.{digits}f}" for a in order if (panel, a) in found)
        + "."
        for panel in panels
    )


def replicates_of(frame: pl.DataFrame) -> str:
    """How many replicates the means of a frame are over, and whether they have an interval."""
    numbers: list[int] = frame["n"].to_list()
    fewest, most = min(numbers), max(numbers)
    if most == 1:
        return "one replicate, so without intervals"
    counts = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"means over {counts} replicates" + (
        ", too few for intervals" if most < FEWEST else " with 95% intervals"
    )
