"""The tickets of runs, compared with each other and with masks made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from tombola.compare import RAW, Network, Subject, compare, decide
from tombola.data import Resident
from tombola.errors import UserError, nearest
from tombola.lottery import TICKET, Cell
from tombola.study.bind import bind
from tombola.study.results import results
from tombola.study.store import Run
from tombola.study.writing import write_parquet

EXAMPLES = 500
"""Training examples that activations are taken on."""


@dataclass(frozen=True)
class Comparison:
    """The table of pairs (`compare.SCHEMA`), the table of decisions (`compare.DECISIONS`) on the ticket against every
    arm that at least two replicates share with it, and what was compared."""

    pairs: pl.DataFrame
    decisions: pl.DataFrame | None
    subjects: Sequence[Subject]


def compare_runs(
    runs: Sequence[Run],
    others: Sequence[Subject] = (),
    *,
    level: int | None = None,
    density: float | None = None,
    arms: Collection[str] = (),
    measures: Sequence[str] = (),
    alignments: Sequence[str] = (RAW,),
    nulls: Sequence[str] = (),
    n_null: int = 20,
    same_density: bool = True,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Comparison:
    """Compare the cells of runs, and other subjects, in pairs; the tables are stored in the first run.

    See `subjects_of` for `level`, `density` and `arms`, and `compare.compare` for the rest; `same_density` leaves out
    pairs of cells from levels of different density. Raises UserError.
    """
    if level is not None and density is not None:
        raise UserError("give a level or a density, not both")
    subjects = [
        *(s for run in runs for s in subjects_of(run, level=level, density=density, arms=arms)),
        *others,
    ]
    if len(subjects) < 2:
        raise UserError(f"a comparison takes two tickets at least, found {len(subjects)}")
    aligns = any(alignment != RAW for alignment in alignments)
    if aligns and not runs:
        raise UserError("masks made elsewhere come without a network to align by; compare them raw")
    pairs = compare(
        subjects,
        network=network_of(runs, data_dir) if aligns else None,
        measures=list(measures) or None,
        alignments=alignments,
        nulls=list(nulls) or None,
        n_null=n_null,
        seed=seed,
        among=lambda a, b: not same_density or None in (a.density, b.density) or a.density == b.density,
    )
    replicates = {arm: {s.replicate for s in subjects if s.arm == arm} for arm in {s.arm for s in subjects}}
    shared = replicates.get(TICKET, set())
    contrasts = [
        (TICKET, arm)
        for arm in sorted(replicates)
        if arm not in (TICKET, "") and len(replicates[arm] & shared) > 1
    ]
    decisions = decide(pairs, subjects, contrasts, seed=seed) if contrasts else None
    if runs:
        write_parquet(runs[0].path / "measures.parquet", pairs)
        if decisions is not None:
            write_parquet(runs[0].path / "decisions.parquet", decisions)
    return Comparison(pairs, decisions, subjects)


def subjects_of(
    run: Run, *, level: int | None = None, density: float | None = None, arms: Collection[str] = ()
) -> list[Subject]:
    """The trained cells of a run: of one level, of the level whose density is nearest, or of all levels but dense;
    of some arms, or of all.

    Raises UserError for an arm the run does not have, a level that no cell is done at, and a run without weights.
    """
    frame = results(run, timed=False).filter(pl.col("status") == "ok")
    known = sorted(set(frame["arm"]))
    for arm in arms:
        if arm not in known:
            raise UserError(f"{run.path.name}: no arm '{arm}' is done{nearest(arm, known)}")
    chosen = frame.filter(pl.col("level") > 0) if level is None else frame.filter(pl.col("level") == level)
    if density is not None:
        if not 0 < density <= 1:
            raise UserError(f"density is a fraction above 0 and up to 1, found {density}")
        far = (pl.col("density").log() - math.log(density)).abs()
        chosen = frame.filter(pl.col("level") == frame.sort(far, "level")["level"][0])
    if chosen.is_empty():
        where = "below dense" if level is None else f"at level {level}"
        raise UserError(f"{run.path.name}: no cell is done {where}")
    ladder = frame.filter(pl.col("arm") == TICKET).group_by("level").agg(pl.col("density").mean())
    densities = dict(ladder.iter_rows())
    rows = chosen.filter(pl.col("arm").is_in(arms)) if arms else chosen
    return [
        _subject(run, Cell(row["replicate"], row["level"], row["arm"], row["draw"]), densities)
        for row in rows.sort("replicate", "level", "arm", "draw").iter_rows(named=True)
    ]


def _subject(run: Run, cell: Cell, densities: dict[int, float]) -> Subject:
    weights = run.keeps_weights(cell)
    dense = Cell(cell.replicate, 0, TICKET, 0)
    return Subject(
        name=f"{run.path.name}:{cell}",
        mask=run.mask(cell),
        start=run.start(cell) if weights else None,
        end=run.weights(cell, "end") if weights else None,
        dense=run.weights(dense, "end") if weights else None,
        replicate=f"{run.path.name}:r{cell.replicate}",
        arm=cell.arm,
        draw=cell.draw,
        density=densities.get(cell.level),
    )


def network_of(runs: Sequence[Run], data_dir: Path | None = None) -> Network:
    """The network that runs have in common, with training examples of the first for activations.

    Raises UserError for runs of different networks, data that are not there, and hidden units that cannot be told
    apart.
    """
    study, dataset, net = bind(runs[0].study, data_dir)
    for run in runs[1:]:
        if run.study.model != study.model:
            raise UserError(
                f"{run.path.name} trains {run.study.model.name}, {runs[0].path.name} {study.model.name}; "
                "only runs of one network can be aligned"
            )
    data = Resident(dataset, study.data.normalisation, torch.device("cpu"))
    return Network.of(net, data.train(torch.arange(min(EXAMPLES, data.n_train))))
