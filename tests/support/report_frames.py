"""Small frames of two or three replicates whose means and intervals can be worked out by hand.

Density halves twice. At each place replicate 0 has the value below, and each after it 0.02 (or 200 iterations) more
than the one before. Of two, which have no interval, the mean is the value + 0.01 (+ 100). Of three it is the value +
0.02 (+ 200), the deviation 0.02 (200), and half the 95% interval t(0.975, 2) * 0.02 / sqrt(3) = 4.302653 * 0.0115470
= 0.0496828 (496.828).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tombola.report.tables import Tables
from tombola.runs.results import summary

HALF = 0.0496828
DENSITIES = (1.0, 0.5, 0.25)
FIRST = {  # (arm, level) -> test accuracy and early-stop iteration of replicate 0
    ("ticket", 0): (0.90, 1000),
    ("ticket", 1): (0.92, 800),
    ("ticket", 2): (0.88, 600),
    ("reinit", 1): (0.86, 1200),
    ("reinit", 2): (0.80, 1400),
}
NUMBERS = (
    "early_stop_iteration",
    "early_stop_val_loss",
    "early_stop_test_accuracy",
    "final_test_accuracy",
    "final_train_accuracy",
)


def results_frame(replicates: int = 2) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for r in range(replicates):
        for (arm, level), (accuracy, stop) in FIRST.items():
            # Two draws of reinit, 0.01 to each side of the replicate's value: averaged within it they are one number.
            for draw in range(2 if arm == "reinit" else 1):
                offset = 0.01 * (2 * draw - 1) if arm == "reinit" else 0.0
                test = accuracy + 0.02 * r + offset
                rows.append(
                    {
                        "replicate": r,
                        "level": level,
                        "arm": arm,
                        "draw": draw,
                        "status": "ok",
                        "density": DENSITIES[level],
                        "early_stop_iteration": stop + 200 * r,
                        "early_stop_val_loss": 0.3,
                        "early_stop_test_accuracy": test,
                        "final_test_accuracy": test - 0.05,
                        "final_train_accuracy": test + 0.03,
                        "iterations": 2000,
                        "seconds": 1.0,
                    }
                )
    return pl.DataFrame(rows)


def history_frame(results: pl.DataFrame) -> pl.DataFrame:
    """Two evaluations a cell: loss 2.0 then 0.5 (+ 0.1 a replicate), accuracy 0.1 then the cell's; a test split too."""
    keys = results.select("replicate", "level", "arm", "draw", "density")
    start = keys.with_columns(iteration=pl.lit(0), loss=pl.lit(2.0), accuracy=pl.lit(0.1))
    end = keys.with_columns(
        iteration=pl.lit(1000), loss=0.5 + 0.1 * pl.col("replicate"), accuracy=results["final_test_accuracy"]
    )
    validation = pl.concat([start, end]).with_columns(split=pl.lit("validation"))
    return pl.concat([validation, validation.with_columns(split=pl.lit("test"), loss=pl.lit(9.0))])


def spoilt(results: pl.DataFrame, where: pl.Expr, status: str) -> pl.DataFrame:
    """The cells of `where` without numbers and with another status."""
    return results.with_columns(
        *(pl.when(where).then(None).otherwise(pl.col(name)).alias(name) for name in NUMBERS),
        status=pl.when(where).then(pl.lit(status)).otherwise(pl.col("status")),
    )


def tables(results: pl.DataFrame | None = None, **other: Any) -> Tables:
    """Tables of the frames above, or of other results; `history` and `masks_map` may be replaced."""
    results = results_frame() if results is None else results
    maps = {0: np.full((2, 4), 6.0), 1: np.array([[0, 0, 2, 2], [0, 0, 2, 2]])}
    given = {"history": history_frame(results), "masks_map": maps, "cells_planned": len(results)} | other
    return Tables.collect("A study & its <name>", results, summarise=summary, **given)


def odd_tables() -> dict[str, Tables]:
    """What a report must live through."""
    whole = results_frame()
    dense = whole.filter(pl.col("level") == 0)
    return {
        "one replicate": tables(results_frame(1)),
        "one level": tables(dense),
        "one cell": tables(dense.head(1)),
        "one arm": tables(whole.filter(pl.col("arm") == "ticket")),
        "no dense": tables(whole.filter(pl.col("level") > 0)),
        "no history": tables(history=None),
        "empty history": tables(history=history_frame(whole).clear()),
        "no image": tables(masks_map=None),
        "empty map": tables(masks_map={1: np.zeros((2, 2))}),
        "collapsed": tables(spoilt(whole, (pl.col("level") == 2) & (pl.col("replicate") == 1), "collapsed")),
        "all diverged": tables(spoilt(whole, pl.lit(True), "diverged")),
        "nan curves": tables(history=history_frame(whole).with_columns(loss=pl.lit(float("nan")))),
        "nothing yet": tables(whole.clear(), cells_planned=10),
        "twelve arms": tables(
            pl.concat([whole, *(whole.with_columns(arm=pl.lit(f"arm-{i}")) for i in range(10))]).unique(
                ["replicate", "level", "arm", "draw"]
            )
        ),
    }
