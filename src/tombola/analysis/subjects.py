"""Which cells of a run are compared: as subjects, with the weights they start from and end at."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cache
from typing import TypeAlias, TypeVar

import polars as pl

from tombola.alignment.subject import Subject
from tombola.errors import UserError, nearest
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs.beside.copies import rewound
from tombola.runs.folder import Run
from tombola.runs.results import results_of

T = TypeVar("T", int, float)
Several: TypeAlias = T | Sequence[T] | None
"""One value, several of them, or none."""


def subjects_of(
    run: Run,
    *,
    level: Several[int] = None,
    density: Several[float] = None,
    arms: Collection[str] = (),
) -> list[Subject]:
    """The trained cells of a run: of some levels, of the levels whose tickets' densities are nearest, or of all but
    dense; of some arms, or of all.

    Raises UserError for levels and densities together, an arm the run does not have, a level that no cell is done at,
    and a density outside of 0 to 1.
    """
    return Subjects(run).of(level=level, density=density, arms=arms)


class Subjects:
    """The trained cells of a run as they are now, each read once, whoever asks for it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._frame = results_of(run, timed=False).filter(pl.col("status") == "ok")
        ladder = self._frame.filter(pl.col("arm") == TICKET).group_by("level").agg(pl.col("density").mean())
        self._densities = dict(ladder.iter_rows())
        self._denses = _Denses(run)
        self._subject = cache(self._read)

    def of(
        self, *, level: Several[int] = None, density: Several[float] = None, arms: Collection[str] = ()
    ) -> list[Subject]:
        """Those that `subjects_of` is asked for, and its errors."""
        name, frame, levels, wanted = self.run.path.name, self._frame, listed(level), listed(density)
        if levels and wanted:
            raise UserError("give a level or a density, not both")
        if frame.is_empty():
            raise UserError(f"{name}: no cell is done")
        known = sorted(set(frame["arm"]))
        for arm in arms:
            if arm not in known:
                raise UserError(f"{name}: no arm '{arm}' is done{nearest(arm, known)}")
        for number in levels:
            if number not in frame["level"]:
                done = ", ".join(map(str, sorted(set(frame["level"]))))
                raise UserError(f"{name}: no cell is done at level {number}, only at {done}")
        rungs = _rungs(frame, arms) if wanted else frame
        if rungs.is_empty():
            raise UserError(f"{name}: no cell is done below dense")
        levels = levels or [_nearest(rungs, fraction) for fraction in wanted]
        chosen = frame.filter(pl.col("level").is_in(levels) if levels else pl.col("level") > 0)
        if chosen.is_empty():
            raise UserError(f"{name}: no cell is done below dense")
        rows = chosen.filter(pl.col("arm").is_in(arms)) if arms else chosen
        return [
            self._subject(Cell(row["replicate"], row["level"], row["arm"], row["draw"]))
            for row in rows.sort("replicate", "level", "arm", "draw").iter_rows(named=True)
        ]

    def _read(self, cell: Cell) -> Subject:
        run, weights = self.run, self.run.keeps_weights(cell)
        return Subject(
            name=f"{run.path.name}:{cell}",
            mask=run.mask(cell),
            start=run.start(cell) if weights else None,
            end=run.weights(cell, "end") if weights else None,
            dense=self._denses.trained(cell.replicate) if weights else None,
            dense_start=self._denses.start(cell.replicate) if weights else None,
            replicate=f"{run.path.name}:r{cell.replicate}",
            arm=cell.arm,
            draw=cell.draw,
            density=self._densities.get(cell.level),
        )


def listed(given: Several[T]) -> list[T]:
    """One value, several or none, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


def _rungs(frame: pl.DataFrame, arms: Collection[str]) -> pl.DataFrame:
    """The cells below dense whose densities are those of their levels: the tickets, since an arm may have another
    density at its level (`invert`); where there is none those of the given arms."""
    below = frame.filter(pl.col("level") > 0)
    tickets = below.filter(pl.col("arm") == TICKET)
    if not tickets.is_empty():
        return tickets
    return below.filter(pl.col("arm").is_in(arms)) if arms else below


def _nearest(frame: pl.DataFrame, density: float) -> int:
    """The level whose density is nearest on a log scale; of two as near, the denser."""
    if not 0 < density <= 1:
        raise UserError(f"density is a fraction above 0 and up to 1, found {density}")
    far = (pl.col("density").log() - math.log(density)).abs()
    return int(frame.sort(far, "level")["level"][0])


class _Denses:
    """The dense network of each replicate, trained and where tickets are rewound to: read once, so that all of a
    replicate hold the same tensors."""

    def __init__(self, run: Run) -> None:
        self.trained = cache(lambda replicate: run.weights(Cell(replicate, 0, TICKET, 0), "end"))
        self.start = cache(lambda replicate: rewound(run, replicate))
