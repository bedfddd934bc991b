"""Printing how alike the masks of tasks and pruners are."""

from __future__ import annotations

import polars as pl

from tombola.cli.show.tables import print_table
from tombola.text import percent


def print_similarity(found: pl.DataFrame) -> None:
    """Every two masks of a level: what both keep of what either keeps, and of what the sparser one keeps."""
    said = {
        "jaccard": "of what either keeps",
        "shared": "of what the sparser keeps",
        "kept": "of all weights",
    }
    rows = [
        [
            f"{row['level']}",
            f"{row['a']}, {row['b']}",
            said[row["quantity"]],
            " and ".join(dict.fromkeys(percent(row[key], 2) for key in ("density_a", "density_b"))),
            f"{row['n']}",
            _shown(row["mean"], row["low"], row["high"]),
            percent(row["chance"], 2),
        ]
        for row in found.iter_rows(named=True)
    ]
    heads = [
        "level",
        "masks of one replicate",
        "kept by both",
        "densities",
        "n",
        "mean [95% interval]",
        "by chance",
    ]
    print_table(heads, rows, left=4)


def _shown(mean: float, low: float | None, high: float | None) -> str:
    between = "" if low is None or high is None else f" [{percent(low, 2)}, {percent(high, 2)}]"
    return f"{percent(mean, 2)}{between}"
