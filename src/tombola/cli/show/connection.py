"""Printing what lies between the networks of a run."""

from __future__ import annotations

import polars as pl

from tombola.analysis.connection import Connection, connection_estimates, is_stable
from tombola.analysis.pairing import KINDS
from tombola.cli.show.tables import print_table
from tombola.text import percent, ticket_first, with_interval

SHOWN = (
    ("test", "barrier_error", 100, 2, "barrier, pp"),
    ("train", "barrier_error", 100, 2, "on train, pp"),
    ("test", "barrier_loss", 1, 4, "barrier, loss"),
    ("test", "end_error", 100, 2, "error of ends, %"),
    ("test", "l2", 1, 2, "L2"),
    ("test", "angle", 1, 1, "angle"),
)
"""Columns of the table: split, value, what it is multiplied by, digits, heading."""


def print_connection(found: Connection) -> None:
    """Means over replicates with 95% intervals: one line for each kind of pair, level and arm."""
    means = {
        (split, value): {
            (row["kind"], row["level"], row["arm"]): row
            for row in connection_estimates(found.pairs, value).filter(pl.col("split") == split).to_dicts()
        }
        for split, value, *_ in SHOWN
    }
    barriers = means["test", "barrier_error"]
    rows = []
    for key in sorted(barriers, key=lambda key: ([*KINDS].index(key[0]), key[1], ticket_first(key[2]))):
        kind, level, arm = key
        values = [
            with_interval(means[split, value][key], scale, digits) if key in means[split, value] else "-"
            for split, value, scale, digits, _ in SHOWN
        ]
        of = barriers[key]
        verdict = ("stable" if is_stable(of["mean"]) else "not stable") if kind == "instability" else ""
        rows.append([kind, arm, f"{level}", percent(of["density"], 1), f"{of['n']}", *values, verdict])
    print_table(["pairs", "arm", "level", "density", "n", *(head for *_, head in SHOWN), ""], rows, left=2)
    if any(kind == "instability" for kind, _, _ in barriers):
        print(
            "\nstable: the mean error barrier between copies is below 2 points on the test set (Frankle et al. 2020)"
        )
