"""How alike the masks are that tasks and pruners find in one initialisation, beside what chance gives.

After Paganini & Forde 2020, "Bespoke vs. Pret-a-Porter Lottery Tickets", sections 3 and 5: masks of one replicate alone
are compared, since those of different initialisations do not agree on which unit is which. Replicates are what means
and intervals are over. Chance is exact: masks of the same counts in each layer, placed at random.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev

import polars as pl

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import WHOLE
from tombola.comparison.measures.base import MEASURES, Case
from tombola.comparison.significance import judged_exactly
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.runs.folder import Ladders, Run
from tombola.stats.intervals import SHARE, interval
from tombola.study.ladders import SOURCES

QUANTITIES = {"jaccard": "jaccard", "shared": "overlap-coefficient"}
"""Quantity -> measure: kept by both of what either keeps, and of what the sparser one keeps."""
IN_COMMON = "all in common"
"""What is called so is one row of a level: the weights that every task keeps, of all weights."""
SIMILARITY = {
    "level": pl.Int64,
    "a": pl.String,
    "b": pl.String,
    "quantity": pl.String,
    "density_a": pl.Float64,
    "density_b": pl.Float64,
    "n": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "chance": pl.Float64,
}
"""Columns of `similarity_of`: two tasks or pruners at a level, their densities, the mean over n replicates with its 95%
interval, and what chance gives."""


def similarity_of(run: Run, levels: Sequence[int] = ()) -> pl.DataFrame:
    """Every two masks of a run's ticket, of its sources on the same network, and of arms with masks of their own, in
    each replicate that has both; and what ticket and sources have in common, all of them.

    Sources are read at the ticket's level, and need not have the same density there. Raises UserError for a run with
    nothing beside its tickets, and for a level below dense that it does not have.
    """
    study = run.study
    if wrong := [level for level in levels if not 0 < level <= study.levels]:
        raise UserError(
            f"{run.path.name}: there is no level {wrong[0]} below dense, expected 1 to {study.levels}"
        )
    rows = [row for level in levels or range(1, study.levels + 1) for row in _rows(run, level)]
    if not rows:
        raise UserError(
            f"{run.path.name}: no source and no arm has a mask of its own beside the ticket's, of the same network; "
            "expected [sources] on other data or by another pruning, or arms as one-shot"
        )
    return pl.DataFrame(rows, schema=SIMILARITY, orient="row")


Row = tuple[int, str, str, str, float, float, int, float, float | None, float | None, float]


def _rows(run: Run, level: int) -> Iterator[Row]:
    """The rows of a level."""
    masks = {name: found for name, found in _masks(run, level).items() if found}
    for a, b in itertools.combinations(masks, 2):
        both = sorted(masks[a].keys() & masks[b].keys())
        if both:
            densities = tuple(fmean(masks[each][r].density() for r in both) for each in (a, b))
            for quantity, measure in QUANTITIES.items():
                found = [_judged(masks[a][r], masks[b][r], measure) for r in both]
                yield _row(level, a, b, quantity, densities, found)
    tasks = [name for name in masks if name == TICKET or name.startswith(f"{SOURCES}/")]
    every = sorted(set.intersection(*(set(masks[name]) for name in tasks))) if len(tasks) > 2 else []
    if every:
        found = [_in_common([masks[name][r] for name in tasks]) for r in every]
        mean = fmean(masks[name][r].density() for name in tasks for r in every)
        yield _row(level, IN_COMMON, f"{len(tasks)} tasks", "kept", (mean, mean), found)


def _masks(run: Run, level: int) -> dict[str, dict[int, Mask]]:
    """Name -> replicate -> mask: of the ticket, of sources, and of arms whose masks are not the ticket's."""
    study = run.study
    own = {
        r: run.mask(cell)
        for r in range(study.replicates)
        if _is_there(run, cell := Cell(r, level, TICKET, 0))
    }
    found = {TICKET: own}
    for ladders in run.ladders():
        if ladders.kind.startswith(SOURCES):
            found[ladders.kind] = dict(_lent(run, ladders, level, own))
    routes = {route.name for route in study.route_arms}
    for name, _ in study.arms_at(level):
        cells = {r: Cell(r, level, name, 0) for r in own}
        masks = {
            r: run.mask(cell) for r, cell in cells.items() if name not in routes and _is_there(run, cell)
        }
        if any(masks[r] != own[r] for r in masks):
            found[name] = masks
    return found


def _lent(run: Run, ladders: Ladders, level: int, own: Mapping[int, Mask]) -> Iterator[tuple[int, Mask]]:
    """The masks of a source in each replicate that starts as it does, on the same network."""
    for r in range(min(run.study.replicates, ladders.study.replicates)):
        cell, dense = Cell(r, level, TICKET, 0), Cell(r, 0, TICKET, 0)
        if not (_is_there(ladders, dense) and ladders.record(dense).start == run.record(dense).start):
            continue
        if r in own and _is_there(ladders, cell) and (mask := ladders.mask(cell)).shapes == own[r].shapes:
            yield r, mask


def _is_there(folder: Run, cell: Cell) -> bool:
    return folder.has(cell) and folder.record(cell).status == "ok"


def _judged(a: Mask, b: Mask, measure: str) -> tuple[float, float]:
    """A measure of two masks, and what it is expected to be by chance."""
    case = Case(Subject("a", a), Subject("b", b), None, Network())
    judged = judged_exactly(MEASURES[measure], case)[WHOLE]
    return judged.value, judged.expected


def _in_common(masks: Sequence[Mask]) -> tuple[float, float]:
    """The share of all weights that every mask keeps, and what independent masks of the same counts would."""
    first = masks[0]
    chance = 0.0
    for name in first:
        kept = float(first.size(name))
        for mask in masks:
            kept *= mask.density(name)
        chance += kept
    both = first
    for mask in masks[1:]:
        both = both & mask
    return both.density(), chance / first.size()


def _row(
    level: int,
    a: str,
    b: str,
    quantity: str,
    densities: tuple[float, ...],
    found: Sequence[tuple[float, float]],
) -> Row:
    values = [value for value, _ in found]
    mean, n = fmean(values), len(values)
    low, high = interval(mean, stdev(values) if n > 1 else None, n, SHARE)
    return level, a, b, quantity, densities[0], densities[1], n, mean, low, high, fmean(c for _, c in found)
