"""The pictures by name, and those against density: accuracy, early stop, and the train-test gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import altair as alt
import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.registry import Registry
from tombola.report.figures.style import (
    MOST_SERIES,
    SEPARATOR,
    ArmStyle,
    arm_styles,
    config,
    series_styles,
)
from tombola.report.tables import NothingToDrawError, Tables
from tombola.stats.intervals import FEWEST
from tombola.text import listed, percent

Picture: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart
Draw: TypeAlias = Callable[[Tables], Picture]


@dataclass(frozen=True)
class Figure:
    """A picture that can be asked for by name; call it with tables to get a chart in the house style.

    The chart's data are one list of rows at its top, which is what the page offers as CSV, and its
    `description` is its alternative text. Raises NothingToDrawError where the tables do not hold what it shows.
    """

    name: str
    title: str
    section: str
    reading: str
    draw: Draw
    holds_several: Callable[[Tables], bool] = lambda tables: False
    """Whether one picture shows these several runs; else each run has its own."""

    def __call__(self, tables: Tables) -> Picture:
        if tables.runs and not self.holds_several(tables):
            raise NothingToDrawError("This picture shows one run at a time.")
        chart = self.draw(tables)
        chart.config = config()
        return chart

    def parts(self, tables: Tables) -> dict[str, Tables]:
        """Label -> what each picture is drawn from, '' where it is one.

        Several runs are in one picture where it can hold them and their lines are few enough. Else their tickets
        alone are put in one, if that can be, and every arm is shown in panels, or run by run.
        """
        if not tables.runs or (self.holds_several(tables) and series_count(tables) <= MOST_SERIES):
            return {"": tables}
        tickets = tables.only(TICKET)
        few = self.holds_several(tickets) and series_count(tickets) <= MOST_SERIES
        together = {"tickets": tickets} if few and series_count(tickets) > 1 else {}
        return together | ({"every arm": tables} if self.holds_several(tables) else dict(tables.runs))


FIGURES: Registry[Figure] = Registry("figure", "tombola.report.figures")


def figure(
    name: str,
    title: str,
    section: str,
    reading: str,
    holds_several: Callable[[Tables], bool] = lambda tables: False,
) -> Callable[[Draw], Figure]:
    """Decorator that makes a drawing function the Figure of that name, and so a part of page and catalogue."""

    def add(draw: Draw) -> Figure:
        return FIGURES.register(name, title)(Figure(name, title, section, reading, draw, holds_several))

    return add


def always(tables: Tables) -> bool:
    """For pictures that hold any runs."""
    return True


def series_count(tables: Tables) -> int:
    """How many lines several runs have: one for each arm of each."""
    return tables.results.select("run", "arm").n_unique()


def series_of(frame: pl.DataFrame) -> dict[str, ArmStyle] | None:
    """The styles of the lines of several runs (a column `run`) that share their axes; None for one run, and where
    they are too many to."""
    if "run" not in frame.columns:
        return None
    pairs = list(frame.select("run", "arm").unique(maintain_order=True).iter_rows())
    return series_styles(pairs) if len(pairs) <= MOST_SERIES else None


def as_series(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `arm` named after its run as well, in place of the column `run`."""
    names = pl.concat_str(pl.col("run").cast(pl.String), "arm", separator=SEPARATOR)
    return frame.with_columns(arm=names).drop("run")


def runs_in(frame: pl.DataFrame) -> list[str]:
    """The labels of the runs in a frame, in its order; none where it is of one run."""
    return frame["run"].unique(maintain_order=True).to_list() if "run" in frame.columns else []


def has_intervals(frame: pl.DataFrame) -> bool:
    """Whether any mean of a summary has an interval to draw."""
    return frame["low"].is_not_null().any()


def rows_of(frame: pl.DataFrame, digits: int) -> list[dict[str, Any]]:
    """Rows for a chart, floats at six figures, with the interval spelt out for the pointer.

    Floats that are not finite become null: JSON has no word for them.
    """
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    tidy = frame.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name).round_sig_figs(6)).alias(name) for name in floats
    )
    return [row | {"interval": interval_of(row["low"], row["high"], digits)} for row in tidy.to_dicts()]


def interval_of(low: float | None, high: float | None, digits: int) -> str:
    """'97.10 to 97.90', or 'none (fewer than three replicates)'."""
    if low is None or high is None:
        return "none (fewer than three replicates)"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def tooltip(label: str, **first: str) -> list[alt.Tooltip]:
    """What the pointer shows: arm, the fields of `first` (field -> title), mean, interval and n."""
    return [
        alt.Tooltip("arm:N", title="arm"),
        *(alt.Tooltip(f"{field}:Q", title=title, format=",.4~g") for field, title in first.items()),
        alt.Tooltip("mean:Q", title=label, format=",.4~r"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("n:Q", title="replicates"),
    ]


def describe(frame: pl.DataFrame, label: str, digits: int) -> str:
    """Alternative text: what is drawn, and each arm's values at its densest, middle and sparsest level."""
    named = as_series(frame) if "run" in frame.columns else frame
    arms = list(arm_styles(named["arm"].unique()))
    sentences = []
    for arm in arms:
        line = named.filter(pl.col("arm") == arm).sort("level").select("density", "mean").rows()
        chosen = [line[i] for i in sorted({0, len(line) // 2, len(line) - 1})]
        values = ", ".join(f"{mean:.{digits}f} at {percent(density / 100)}" for density, mean in chosen)
        sentences.append(f"{arm}: {values}.")
    return f"Line chart of {label} against density, for {listed(arms)}; {replicates_of(frame)}. {' '.join(sentences)}"


def replicates_of(frame: pl.DataFrame) -> str:
    """How many replicates the means of a frame are over, and whether they have an interval."""
    numbers: list[int] = frame["n"].to_list()
    fewest, most = min(numbers), max(numbers)
    if most == 1:
        return "one replicate, so without intervals"
    counts = f"{most}" if fewest == most else f"{fewest} to {most}"
    if most < FEWEST:
        return f"means over {counts} replicates, too few for intervals"
    return f"means over {counts} replicates with 95% intervals"
