"""From a run folder to the tables that pictures are drawn from."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter

from tombola.analysis.compared import compared
from tombola.analysis.connection import Connection, connection_estimates, connections_of
from tombola.analysis.costs import AMOUNTS, costs_of
from tombola.analysis.membership.prediction import prediction_of
from tombola.analysis.savings import ACCURACY, savings_of
from tombola.analysis.verdicts.verdict import REQUIRED, VERDICTS, Verdict
from tombola.comparison.consensus import CONSENSUS
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError
from tombola.files import checked, read_object
from tombola.lottery.arms.catalog import DOSE_ARMS, TICKET
from tombola.models.scope import Scope
from tombola.report.tables import Looks, Tables
from tombola.runs.cells.index import INDEX
from tombola.runs.folder import Run
from tombola.runs.progress import missing
from tombola.runs.results import by_replicate, histories, results_of, summary
from tombola.runs.sweeps import SweepRun
from tombola.seals import unsealed
from tombola.study.title import title_of
from tombola.training.search.bird import Bird


def require_cells(found: Run | SweepRun) -> None:
    """Raise UserError where no cell of a run, or of any member of a sweep, is trained yet."""
    if not any(run.cells() for run in found.runs.values()):
        raise UserError(f"{found.path}: no cell is trained yet, so that there is nothing to report")


def tables_of(run: Run) -> Tables:
    """The tables of a run, finished or not."""
    study = run.study
    history = histories(run)
    tables = Tables.collect(
        title_of(study),
        results_of(run),
        None if history.is_empty() else history,
        summary,
        masks_map=input_maps(run),
        # Where a ladder has ended early, what lies below its end will never be trained.
        cells_planned=len({*run.cells(), *missing(run, study)}),
    )
    tables = replace(
        with_structure(tables, run),
        seen=looks_of(run),
        layers=layers_of(run),
        scope=scope_of(run),
        disk=disk_of(run),
        beside=beside_of(run),
    )
    connection = connections_of(run)
    costs = costs_of(run)
    tables = replace(
        tables,
        verdicts=verdicts_in(run),
        overlap=overlap_of(run),
        prediction=prediction_of(run),
        ways=ways_of(costs),
        savings=[*savings_of(costs, study.seed), *savings_of(costs, study.seed, against="dense")],
        routes=frozenset(costs.filter(way="route")["arm"]),
    )
    return tables if connection is None else with_connection(tables, connection)


WAYS = (TICKET, "route", "without")
"""The sorts of arms that are ways to a ticket: not controls, nor what is trained beside the ladder."""


def ways_of(costs: pl.DataFrame) -> pl.DataFrame | None:
    """The means of `Tables.ways`; None where no cost is known in operations."""
    frame = costs.filter(pl.col("way").is_in(WAYS) & (pl.col("operations") > 0))
    if frame.is_empty() or ACCURACY not in costs.columns:
        return None
    found = summary(frame, ACCURACY)
    for amount in AMOUNTS:
        means = by_replicate(frame, amount).group_by("arm", "level").agg(pl.col(amount).mean())
        found = found.join(means, on=["arm", "level"])
    return found.sort("arm", "level")


def overlap_of(run: Run) -> pl.DataFrame | None:
    """How much of their ticket the arms of the picture `dose` have; None where there is no such arm but the ticket."""
    shown = {
        each.name
        for each in run.study.arms
        if each.name in DOSE_ARMS or (each.arm.rewinds and "donor" in each.arm.traits)
    }
    rows: list[tuple[int, str, float]] = []
    for cell in run.cells() if shown else ():
        ticket = replace(cell, arm=TICKET, draw=0)
        if not cell.level or cell.arm not in shown or not run.has(ticket) or run.record(cell).status != "ok":
            continue
        own, other = run.mask(ticket), run.mask(cell)
        pruned = [name for name in own if own.count(name) < own.size(name)]
        kept = sum(int((own[name] & other[name]).sum()) for name in pruned)
        rows.append((cell.level, cell.arm, 100 * kept / max(1, sum(own.count(name) for name in pruned))))
    if not rows:
        return None
    rows += [(level, TICKET, 100.0) for level in {level for level, _, _ in rows}]
    schema = {"level": pl.Int64, "arm": pl.String, "overlap": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.group_by("level", "arm").agg(pl.col("overlap").mean()).sort("level", "arm")


ROWS = TypeAdapter(tuple[Verdict, ...])


def verdicts_in(run: Run) -> pl.DataFrame | None:
    """The verdicts that a run's folder holds; None where there are none, or those of an earlier version."""
    path = run.path / "verdicts.json"
    stored = read_object(path) if path.is_file() else {}
    rows = unsealed(path, stored, path.name).get("verdicts")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and row.keys() >= REQUIRED for row in rows
    ):
        return None
    found = checked(path, rows, ROWS)
    return pl.DataFrame([each.row() for each in found], schema=VERDICTS)


def with_connection(tables: Tables, connection: Connection) -> Tables:
    """The tables with the paths between networks, and how stable copies are (the error barrier on the test set)."""
    copies = connection.pairs.filter(kind="instability", split="test")
    summaries = {**tables.summaries, "instability": connection_estimates(copies, "barrier_error")}
    return replace(tables, summaries=summaries, paths=connection.paths)


def with_structure(tables: Tables, run: Run) -> Tables:
    """The tables with what the last comparison found on cells of this run."""
    pairs, consensus = compared(run, "measures", SCHEMA), compared(run, "consensus", CONSENSUS)
    if pairs is not None:
        pairs = _with_cells(pairs, run.path.name).join(_ladder(tables), on="level_a", how="left")
    if consensus is not None:
        consensus = consensus.filter(pl.col("run") == run.path.name)
    return replace(tables, pairs=pairs, consensus=consensus)


def _with_cells(pairs: pl.DataFrame, run: str) -> pl.DataFrame:
    """The rows on two cells of the run, or on one, with what their names say."""
    kinds = {"replicate": pl.Int64, "level": pl.Int64, "arm": pl.String, "draw": pl.Int64}
    cell = re.escape(run) + r":r(\d+)/L(\d+)/(.+)/(\d+)"
    for side in ("a", "b"):
        parts = (
            pl.col(side).str.extract(f"^{cell}$", group).cast(kind).alias(f"{name}_{side}")
            for group, (name, kind) in enumerate(kinds.items(), start=1)
        )
        pairs = pairs.with_columns(*parts)
    alone = pl.col("b").is_null()
    return pairs.filter(pl.col("arm_a").is_not_null(), alone | pl.col("arm_b").is_not_null())


def _ladder(tables: Tables) -> pl.DataFrame:
    """Level -> mean density."""
    densities = tables.densities()
    return pl.DataFrame(
        {"level_a": list(densities), "density": list(densities.values())},
        schema={"level_a": pl.Int64, "density": pl.Float64},
    )


def tables_together(title: str, runs: Mapping[str, Run]) -> Tables:
    """The tables of several runs, by label, on one page."""
    return Tables.together(title, {label: tables_of(run) for label, run in runs.items()})


def input_maps(run: Run) -> dict[int, NDArray[Any]] | None:
    """Level -> [H, W]: first-layer weights that live at each input pixel of the tickets, summed over channels and
    averaged over replicates. None where the first layer does not see every pixel of an image by itself."""
    network = run.environment.get("network")
    if network is None:
        return None
    shape, first = network["input_shape"], network["prunable"][0]
    found: dict[int, list[NDArray[Any]]] = defaultdict(list)
    for cell in run.cells():
        if cell.arm == TICKET:
            masks = run.mask(cell)
            if first not in masks:
                raise UserError(f"{run.folder(cell)}: has no mask of '{first}', the network's first weights")
            mask = masks[first]
            if len(shape) != 3 or mask.dim() != 2 or mask.shape[1] != prod(shape):
                return None
            found[cell.level].append(mask.sum(0).view(*shape).sum(0).numpy())
    return {level: np.mean(maps, axis=0) for level, maps in sorted(found.items())}


def layers_of(run: Run) -> pl.DataFrame:
    """One row a level and prunable layer of the tickets: level, layer, weights, kept (mean over replicates)."""
    alive: dict[int, list[Mapping[str, int]]] = defaultdict(list)
    for cell in run.cells():
        if cell.arm == TICKET:
            alive[cell.level].append(run.record(cell).alive)
    dense = alive[0][0] if alive[0] else {}
    rows = [
        (level, layer, weights, float(np.mean([each[layer] for each in found])))
        for level, found in sorted(alive.items())
        for layer, weights in dense.items()
        if all(layer in each for each in found)
    ]
    schema = {"level": pl.Int64, "layer": pl.String, "weights": pl.Int64, "kept": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def scope_of(run: Run) -> Scope | None:
    """How much of the network is prunable, as the run has noted it; None in runs of old, which did not."""
    network = run.environment.get("network", {})
    if "shapes" not in network:
        return None
    return Scope({name: tuple(shape) for name, shape in network["shapes"].items()}, network["prunable"])


def beside_of(run: Run) -> pl.DataFrame | None:
    """The results of donors and twins, each named as such in `arm`; None where there are none."""
    found = [results_of(each).with_columns(arm=pl.lit(each.kind)) for each in run.ladders()]
    return pl.concat(found) if found else None


def disk_of(run: Run) -> int:
    """Bytes of the files in the run's folder, those of its report left out, and the index, which may be there or not.

    While a run goes on, cells are renamed and what is half-written vanishes: that is passed over.
    """
    return _bytes_in(str(run.path), besides="report")


def _bytes_in(folder: str, besides: str = "") -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes_in(entry.path) if entry.name != besides else 0
                elif entry.name != INDEX and not entry.is_dir():
                    total += os.stat(entry.path).st_size
    return total


def looks_of(run: Run) -> dict[int, Looks]:
    """Level -> the masks made while networks trained: distances averaged over the replicates that were looked at to the
    end. Empty unless trainings were watched for them."""
    found: dict[int, list[Bird]] = defaultdict(list)
    for replicate in sorted({cell.replicate for cell in run.cells()}):
        for bird in run.birds(replicate):
            found[bird.level].append(bird)
    looks = {}
    for level, birds in sorted(found.items()):
        times = max((bird.iterations for bird in birds), key=len)
        whole = [bird.distances for bird in birds if bird.iterations == times]
        looks[level] = Looks(times, np.mean(whole, axis=0))
    return looks
