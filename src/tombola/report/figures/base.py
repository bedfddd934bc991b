"""The figures by name: what each shows of a run, or of several on shared axes."""

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
    config,
    series_styles,
    styled_with,
)
from tombola.report.tables import NothingToDrawError, Tables

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
        with styled_with(tables.results["arm"].unique()):
            chart = self.draw(tables)
        chart.config = config()
        return chart

    def caption(self, chart: Picture) -> str:
        """How the chart is read, and what it leaves out."""
        return " ".join(filter(None, (self.reading, left_out(chart))))

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


LEFT_OUT = "leftOut"
"""Where a chart holds what its caption says of arms that it does not draw."""


def described(text: str, missing: str = "") -> dict[str, Any]:
    """The properties of a chart that is told as this `text`; `missing` says what it leaves out."""
    more = {"usermeta": {LEFT_OUT: missing}} if missing else {}
    return {"description": f"{text} {missing}".rstrip(), **more}


def left_out(chart: Picture) -> str:
    """What a caption says of arms that the chart does not draw; '' where it draws all."""
    found = {} if chart.usermeta is alt.Undefined else chart.usermeta
    return str(found.get(LEFT_OUT, ""))


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
