"""Printing: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tombola.runs.results import summary, with_interval
from tombola.runs.stops import ends, ends_in_words, marked


def console() -> Console:
    """Standard output; tables keep their width when it is not a terminal."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


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


def print_means(frame: pl.DataFrame) -> None:
    """Means over replicates with 95% intervals: one line for each arm at each level, dense first."""
    rows: dict[tuple[int, str], list[str]] = {}
    counted = frame.group_by("arm", "level").agg(
        pl.col("density").mean(),
        pl.col("replicate").n_unique().alias("n"),
        (pl.col("status") != "ok").sum().alias("odd"),
    )
    for arm, level, density, n, odd in counted.iter_rows():
        rows[level, arm] = [
            arm,
            str(level),
            f"{100 * density:.2f}%",
            f"{n}" + (f" ({odd} failed)" if odd else ""),
        ]
    values = (
        ("early_stop_iteration", 1, 0),
        ("early_stop_test_accuracy", 100, 2),
        ("final_test_accuracy", 100, 2),
        ("final_train_accuracy", 100, 2),
    )
    at_end = ends(frame)
    for value, scale, digits in values:
        means = {(row["level"], row["arm"]): row for row in summary(frame, value).iter_rows(named=True)}
        for key, row in rows.items():
            found = means.get(key)
            shown = "-" if found is None or found["mean"] is None else with_interval(found, scale, digits)
            level, arm = key
            row.append(marked(shown, at_end.get((arm, level))) if value == "early_stop_iteration" else shown)
    headings = [
        "arm",
        "level",
        "density",
        "n",
        "early stop",
        "test % at early stop",
        "test % at end",
        "train % at end",
    ]
    order = sorted(rows, key=lambda key: (key[0], key[1] != "ticket", key[1]))
    print_table(headings, [rows[key] for key in order])
    if said := ends_in_words(frame):
        print(f"\n{said}")


def duration(seconds: float) -> str:
    """A time as people write it: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def time_of(facts: dict[str, Any]) -> str:
    """What a study takes on this machine, as a range: about 40 s to 1 min 20 s here."""
    ends = [duration(facts[f"estimated_seconds_{end}"]) for end in ("low", "high")]
    return f"about {' to '.join(dict.fromkeys(ends))} here"


def size(count: float) -> str:
    """A number of bytes as people write it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
