"""Printing: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tombola.cli.guarded import unguarded
from tombola.files import csv_of
from tombola.metrics import Metric, metric_in
from tombola.runs.results import summary
from tombola.runs.stops import ends, ends_in_words, marked
from tombola.text import duration, percent, ticket_first, visible, with_interval


class Careful(Console):
    """A console that draws, and shows the control characters in what it is given."""

    def render_str(self, text: str, **how: Any) -> Text:
        """A text as it is drawn, and as wide as that."""
        return super().render_str(visible(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of something; those that move the cursor are the console's own."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(visible(piece.text), piece.style)


def console() -> Console:
    """Standard output; tables keep their width when it is not a terminal."""
    width = None if sys.stdout.isatty() else 160
    return Careful(file=unguarded(sys.stdout), highlight=False, markup=False, width=width)


def error_console() -> Console:
    """Standard error."""
    return Careful(file=unguarded(sys.stderr))


def print_csv(frame: pl.DataFrame) -> None:
    """A frame as CSV."""
    print(csv_of(frame), end="")


def print_json(value: Any) -> None:
    """One JSON document; numbers that are not finite are null."""
    print(json.dumps(value, indent=1, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A plain table; the first `left` columns are aligned to the left, the others to the right."""
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < left else "right", no_wrap=index >= left)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def means_of(metric: Metric) -> dict[str, tuple[str, float, int]]:
    """Heading -> value, what it is multiplied by, digits."""
    how, head = (metric.scale, metric.digits), metric.head
    return {
        "early stop": ("early_stop_iteration", 1, 0),
        f"test {head} at early stop": (metric.early_stop, *how),
        f"test {head} at end": (metric.final_test, *how),
        f"train {head} at end": (metric.final_train, *how),
    }


def print_means(frame: pl.DataFrame) -> None:
    """Means over replicates with 95% intervals: one line for each arm at each level, dense first."""
    counts = frame.group_by("arm", "level").agg(
        pl.col("density").mean(),
        pl.col("replicate").n_unique().alias("n"),
        (pl.col("status") != "ok").sum().alias("failed"),
    )
    at_end, shown_as = ends(frame), means_of(metric_in(frame.columns))
    means = {
        value: {(row["arm"], row["level"]): row for row in summary(frame, value).iter_rows(named=True)}
        for value, *_ in shown_as.values()
    }
    rows = []
    for arm, level, density, n, failed in sorted(
        counts.iter_rows(), key=lambda row: (row[1], ticket_first(row[0]))
    ):
        row = [arm, f"{level}", percent(density, 2), f"{n} ({failed} failed)" if failed else f"{n}"]
        for value, scale, digits in shown_as.values():
            found = means[value].get((arm, level))
            shown = "-" if found is None or found["mean"] is None else with_interval(found, scale, digits)
            row.append(marked(shown, at_end.get((arm, level))) if value == "early_stop_iteration" else shown)
        rows.append(row)
    print_table(["arm", "level", "density", "n", *shown_as], rows)
    if said := ends_in_words(frame):
        print(f"\n{said}")


def time_of(facts: dict[str, Any]) -> str:
    """What a study takes on this machine, as a range: about 40 s to 1 min 20 s here."""
    ends = [duration(facts[f"estimated_seconds_{end}"]) for end in ("low", "high")]
    return f"about {' to '.join(dict.fromkeys(ends))} here"
