"""Results: one row a cell, learning curves, and means with 95% intervals over replicates.

The replicate is the unit of every statistic. Draws are averaged within it first.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import polars as pl

from tombola.lottery.cell import Cell
from tombola.metrics import ACCURACY, METRICS, Metric
from tombola.runs.cells.cells import HISTORY
from tombola.runs.cells.record import CellRecord
from tombola.runs.folder import Run
from tombola.runs.progress import require_whole
from tombola.runs.stops import STOP, ends
from tombola.stats.intervals import EVERYWHERE, Range, bounds, half_width
from tombola.study.claims import DONOR_TICKET

KEYS = ("replicate", "level", "arm", "draw")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "replicate": pl.Int64,
    "level": pl.Int64,
    "arm": pl.String,
    "draw": pl.Int64,
    "status": pl.String,
    "density": pl.Float64,
    "early_stop_iteration": pl.Int64,
    "early_stop_at_end": pl.Boolean,  # whether that is the last evaluation
    "early_stop_val_loss": pl.Float64,
    "early_stop_test_accuracy": pl.Float64,
    "final_test_accuracy": pl.Float64,
    "final_train_accuracy": pl.Float64,
    "iterations": pl.Int64,
    "found_iteration": pl.Int64,  # of the training in which the mask was seen
}

RECORDED = [each.name for each in fields(CellRecord) if each.name in SCHEMA]


def schema_of(metric: Metric) -> dict[str, pl.DataType | type[pl.DataType]]:
    """`SCHEMA` with the columns of a metric in the place of those of accuracy."""
    own = dict(zip(ACCURACY.columns, metric.columns, strict=True))
    return {own.get(name, name): kind for name, kind in SCHEMA.items()}


CURVES = {**{name: SCHEMA[name] for name in (*KEYS, "density")}, **HISTORY}


def results_of(run: Run, *, timed: bool = True) -> pl.DataFrame:
    """One row a cell that is done, in order; the columns are those of the study's metric. With `timed`, a `seconds`
    column: the cell's share of its stack.

    Raises UserError where the study in the folder is not that of the cells.
    """
    rows, records = [], require_whole(run)
    study = run.study if records else None  # a folder without cells may have none yet
    for cell, record in records.items():
        row = {**vars(cell), **{name: getattr(record, name) for name in RECORDED}, **record.numbers}
        row["early_stop_at_end"] = record.stops_at_end(study.first_iteration(cell) if study else 0)
        if timed:
            row["seconds"] = run.seconds(cell)
        rows.append(row)
    schema = schema_of(METRICS[study.recipe.metric] if study else ACCURACY)
    return pl.DataFrame(rows, schema={**schema, "seconds": pl.Float64} if timed else schema)


def with_donor_tickets(run: Run, frame: pl.DataFrame) -> pl.DataFrame:
    """Results with a row for each donor's own ticket, as arm `donor-ticket` of the replicate that takes from it first.

    A transplant of mask and start must train as that ticket does. Dense donors are left out.
    """
    tickets = [results_of(ladders, timed=False) for ladders in run.ladders() if ladders.kind == "donors"]
    rows = [each.filter(pl.col("level") > 0).with_columns(arm=pl.lit(DONOR_TICKET)) for each in tickets]
    return pl.concat([frame, *rows], how="diagonal")


def histories(run: Run) -> pl.DataFrame:
    """Learning curves of every cell: its keys and density, iteration, split, loss, accuracy. Raises as
    `results_of`."""
    trained = {cell: record for cell, record in _records(run).items() if record.iterations is not None}
    found, rows = run.histories(list(trained))
    kinds = {name: kind for name, kind in CURVES.items() if name not in HISTORY}
    keys = [(*vars(cell).values(), record.density) for cell, record in trained.items()]
    each = pl.DataFrame(keys, schema=kinds, orient="row")
    repeated = each[np.repeat(np.arange(each.height), np.array(rows, dtype=np.int64))]
    return pl.concat([repeated, found], how="horizontal")


def _records(run: Run) -> dict[Cell, CellRecord]:
    """Those of the cells that are done; reading the study refuses one that is not theirs."""
    if run.cells():
        _ = run.study
    return run.records()


def by_replicate(frame: pl.DataFrame, value: str) -> pl.DataFrame:
    """`value` averaged over draws: one row per (arm, level, replicate). Cells that collapsed or diverged stay out,
    also where they have a number."""
    kept = frame.filter(pl.col(value).is_not_null() & (pl.col("status") == "ok"))
    grouped = kept.group_by("arm", "level", "replicate").agg(pl.col("density").mean(), pl.col(value).mean())
    return grouped.sort("arm", "level", "replicate")


def summary(frame: pl.DataFrame, value: str) -> pl.DataFrame:
    """Mean of `value` with its 95% t-interval over replicates: arm, level, density, n, mean, low, high.

    The interval is null below three replicates, and cut where the value can lie no further, see
    `tombola.stats.intervals`. It is null as well where the value is an early stop that some trainings did not reach.
    """
    grouped = (
        by_replicate(frame, value)
        .group_by("arm", "level")
        .agg(
            pl.col("density").mean(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col(value).mean().alias("mean"),
            pl.col(value).std().alias("deviation"),
        )
    )
    bands = with_bands(grouped, bounds(value)).sort("arm", "level")
    late = [place for place, (count, _) in ends(frame).items() if count] if value == STOP else []
    if not late:
        return bands
    places = pl.DataFrame(late, schema={"arm": pl.String, "level": pl.Int64}, orient="row")
    reached = bands.join(places, on=["arm", "level"], how="anti")
    rest = bands.join(places, on=["arm", "level"], how="semi").with_columns(
        pl.lit(None, pl.Float64).alias(end) for end in ("low", "high")
    )
    return pl.concat([reached, rest]).sort("arm", "level")


def with_bands(means: pl.DataFrame, within: Range = EVERYWHERE) -> pl.DataFrame:
    """Means (columns n, mean, deviation) with their 95% t-intervals as `low` and `high` in the place of `deviation`;
    see `tombola.stats.intervals`."""
    # half_width is linear in the deviation, so one call for each n serves every row of it.
    widths = {n: half_width(n, 1.0) for n in means["n"].unique()}
    half = pl.col("deviation") * pl.Series([widths[n] for n in means["n"]], dtype=pl.Float64)
    limits = {"low": pl.col("mean") - half, "high": pl.col("mean") + half}
    return means.with_columns(**{end: limit.clip(*within) for end, limit in limits.items()}).drop("deviation")


def few(n: int) -> str:
    """So many replicates, where they are too few for an interval."""
    return "one replicate" if n == 1 else f"{n} replicates"
