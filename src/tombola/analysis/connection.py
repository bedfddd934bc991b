"""The connection of a run's networks: which pairs, what lies between them, and how far apart they are.

Of which pairs is a matter of kinds, see `analysis.pairing`. Copies that are missing are trained first; they stay, so
that nothing is trained twice. Nothing is selected here, so the test set may be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from torch import nn

from tombola.alignment.network import Network
from tombola.alignment.weights import match_weights
from tombola.analysis.compared import keep_tables, stored_table
from tombola.analysis.exams import require_classes
from tombola.analysis.pairing import DEFAULT_KINDS, Pair, pairs_of
from tombola.comparison.connectivity import PATH, STABLE, angle, angular, barrier, distance, path, steps
from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.models.units import permute
from tombola.runs.beside.copies import Copy, place_of, train_copies
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import Run
from tombola.runs.progress import Progress, Silent
from tombola.runs.results import summary
from tombola.study.bind import bind
from tombola.training.device import prepare

TRAIN_EXAMPLES = 5000
"""Training examples that networks on a path are measured on, and that batch norms take their statistics from."""

KEYS = {
    "kind": pl.String, "replicate": pl.Int64, "level": pl.Int64, "arm": pl.String, "density": pl.Float64,
    "a": pl.String, "b": pl.String,
}  # fmt: skip
CONNECTION_VALUES = (
    "barrier_error", "barrier_loss", "end_error", "end_loss", "l2", "angle", "l2_shared", "angular_shared",
)  # fmt: skip
CONNECT = {**KEYS, "split": pl.String, **dict.fromkeys(CONNECTION_VALUES, pl.Float64)}
PATHS = {**KEYS, **PATH}
CONNECTED = "connected.json"
"""The digests of both tables."""


@dataclass(frozen=True)
class Connection:
    """One row a pair and split (`CONNECT`), and one row a place on the path between them (`PATHS`).

    Errors and accuracies are 0..1, losses in nats, angles in degrees. `end_*` are means of both ends; `l2` and
    `angle` are of all prunable weights, those with `_shared` of the weights that live in both; `angular_shared` is
    2 angle / pi (Maene et al. 2021).
    """

    pairs: pl.DataFrame
    paths: pl.DataFrame


def connect_run(
    run: Run,
    *,
    levels: Collection[int] = (),
    arms: Collection[str] = (),
    kinds: Sequence[str] = DEFAULT_KINDS,
    copies: int = 2,
    alphas: int = 31,
    device: str = "auto",
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
    progress: Progress | None = None,
) -> Connection:
    """Measure the paths between pairs of a run's networks; the tables are stored in the run as `connect.parquet` and
    `paths.parquet`.

    `levels` are those of the pairs (default: all that are done). `arms` are those whose instability and distance to
    pruning are measured (default: the ticket) and, for the kind `arms`, what the ticket is paired with (default: all).
    `copies` counts the network itself. Stopped at any moment, the same call goes on. Raises UserError.
    """
    require_classes(run, "the error along a path between networks")
    prepare()
    if alphas < 2:
        raise UserError(f"alphas is {alphas}, expected 2 or more: a path has two ends")
    pairs = pairs_of(run, levels=levels, arms=arms, kinds=kinds, copies=copies)
    spec, dataset, net = bind(run.study, data_dir, dataset, model)
    record = EngineRecord.of(run, net, dataset, spec.seed, spec.recipe, False, False, device=device)
    data = record.resident(dataset, spec.data.normalisation, device)
    with run.held():
        train_copies(
            run, {copy for p in pairs for copy in (p.a, p.b)}, net, data, record, progress or Silent()
        )
        found = _measured(run, pairs, net, data, steps(alphas))
        keep_tables(run.path, CONNECTED, {"connect": found.pairs, "paths": found.paths})
    return found


def _measured(
    run: Run, pairs: Sequence[Pair], net: Architecture, data: Resident, alphas: Sequence[float]
) -> Connection:
    """The tables of all pairs whose networks both trained to finite numbers."""
    rows: list[tuple[str | int | float, ...]] = []
    paths = [pl.DataFrame(schema=PATHS)]
    study = run.study
    for pair in pairs:
        (a, mask_a), (b, mask_b) = _trained(run, pair.a), _trained(run, pair.b)
        if a is None or b is None:
            continue
        if pair.masked:
            a, mask_a = mask_b.apply(a), mask_a & mask_b
        cell = pair.a.cell if pair.b.beside else pair.b.cell
        if pair.matched:
            b, mask_b = _matched(run, pair, net, b, mask_b)
        seeds = study.seeds(cell.replicate)
        part = split(data.n_train, study.data.validation, seeds.stream("split")).train
        some = torch.from_numpy(seeds.stream("connect").permutation(part)[:TRAIN_EXAMPLES]).to(data.device)
        between = path(net, a, b, data, some, alphas, study.recipe)
        keys = (
            pair.kind, cell.replicate, cell.level, cell.arm, mask_b.density(), str(pair.a), str(pair.b)
        )  # fmt: skip
        named = [pl.lit(value, dtype=PATHS[name]).alias(name) for name, value in zip(KEYS, keys, strict=True)]
        paths.append(between.select(*named, pl.all()))
        apart = _apart(a, b, mask_a, mask_b)
        for name in ("train", "test"):
            of = between.filter(pl.col("split") == name)
            rows.append((*keys, name, *_barriers(of), *apart))
    table = pl.DataFrame(rows, schema=CONNECT, orient="row")
    return Connection(table.fill_nan(None), pl.concat(paths).fill_nan(None))


def _trained(run: Run, copy: Copy) -> tuple[State | None, Mask]:
    """Where a network's training ended, None where it diverged, and its mask."""
    folder, cell = place_of(run, copy)
    ok = folder.record(cell).status == "ok"
    return folder.weights(cell, "end") if ok else None, folder.mask(cell)


def _matched(run: Run, pair: Pair, net: Architecture, b: State, mask: Mask) -> tuple[State, Mask]:
    """The second network and its mask, hidden units in the order in which its dense network matches that of the first:
    the very matching that arms are aligned by."""
    network, seeds = net.ask(Network.of), run.study.seeds(pair.a.cell.replicate)
    dense = [
        folder.weights(replace(cell, level=0), "end")
        for folder, cell in (place_of(run, copy) for copy in (pair.a, pair.b))
    ]
    found = match_weights(dense[0], dense[1], network, list(mask), seeds.stream("match", 0))
    return permute(b, network.groups, found), Mask(permute(mask, network.groups, found))


def _barriers(of: pl.DataFrame) -> tuple[float, float, float, float]:
    """Barriers of error and of loss, and the mean error and loss of the ends, of the path on one split."""
    alphas, errors, losses = (of[name].to_list() for name in ("alpha", "error", "loss"))
    ends = [(values[0] + values[-1]) / 2 for values in (errors, losses)]
    return barrier(errors, alphas), barrier(losses, alphas), ends[0], ends[1]


def _apart(a: State, b: State, mask_a: Mask, mask_b: Mask) -> tuple[float, float, float, float]:
    """Distance and angle over all prunable weights, and over those that live in both networks."""
    whole, shared = Mask.dense(mask_a.shapes), mask_a & mask_b
    return (
        distance(a, b, whole), angle(a, b, whole), distance(a, b, shared), angular(angle(a, b, shared))
    )  # fmt: skip


def connection_estimates(pairs: pl.DataFrame, value: str) -> pl.DataFrame:
    """Mean of one of CONNECTION_VALUES with its 95% t-interval over replicates: kind, split, arm, level, density, n,
    mean, low, high. Pairs are averaged within their replicate first; the interval is as in `results.summary`."""
    keys = pairs.select("kind", "split").unique(maintain_order=True)
    frames = [
        summary(pairs.filter(kind=kind, split=name).with_columns(status=pl.lit("ok")), value).select(
            pl.lit(kind).alias("kind"), pl.lit(name).alias("split"), pl.all()
        )
        for kind, name in keys.iter_rows()
    ]
    return pl.concat(frames) if frames else pl.DataFrame()


def connections_of(run: Run) -> Connection | None:
    """What `connect_run` stored in a run last; None where it never did. Raises UserError for files that are broken."""
    pairs, paths = (
        stored_table(run.path / f"{name}.parquet", CONNECTED, columns, "connect again")
        for name, columns in {"connect": CONNECT, "paths": PATHS}.items()
    )
    return None if pairs is None or paths is None else Connection(pairs, paths)


def is_stable(error_barrier: float) -> bool:
    """Whether copies with this mean error barrier are linearly connected: below two points (`STABLE`)."""
    return error_barrier < STABLE
