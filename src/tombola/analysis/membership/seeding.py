"""Seeding in a run: whether pruning finds weights that were made larger, or given signs, before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from torch import nn

from tombola.analysis.membership.young import Replicates
from tombola.data.dataset import Dataset
from tombola.errors import UserError
from tombola.files import write_parquet
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.models.state import State
from tombola.runs.folder import Run
from tombola.runs.results import with_bands
from tombola.training.start import Start
from tombola.training.trained import Trained
from tombola.transfer.prediction import FEWEST, shuffled, tables_for
from tombola.transfer.predictor import Kind, fit, predicted_mask
from tombola.transfer.seeding import scaled, survival, with_signs

Chosen = Literal["predicted", "ticket", "random"]
CHOSEN: tuple[Chosen, ...] = ("predicted", "ticket", "random")
TREATMENTS = ("none", "scaled", "signs")
SEEDING = {
    "level": pl.Int64, "replicate": pl.Int64, "chosen": pl.String, "treatment": pl.String, "lived": pl.Float64,
    "by_chance": pl.Float64, "p": pl.Float64, "dense_accuracy": pl.Float64, "ticket_accuracy": pl.Float64,
}  # fmt: skip
VALUES = ("lived", "by_chance", "dense_accuracy", "ticket_accuracy")


@dataclass(frozen=True)
class Variant:
    """A dense network to train: which weights were chosen in a replicate, what was done to them, and its start."""

    replicate: int
    chosen: Chosen
    treatment: str
    state: State


def seed_run(
    run: Run,
    *,
    level: int | None = None,
    times: float = 2.0,
    kind: Kind = "boosting",
    device: str = "auto",
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
) -> pl.DataFrame:
    """Seed the dense networks of a run and prune each once, to the counts of a level: the table is stored in the run as
    `seeding.parquet`.

    Chosen are as many weights in each tensor as the ticket has: those predicted from the start by the other replicates,
    the ticket's own, and random ones. `scaled` makes them `times` as large, `signs` gives them the signs that the
    unseeded network ended with. A row says which share of the chosen weights the drawn mask keeps, which it would by
    chance, with what chance as many or more (`p`), and the test accuracies at early stop of the dense network and of
    the drawn ticket, trained from the seeded start. With `none` nothing was done.

    Raises UserError for fewer than three tickets, and for times that are not above 0.
    """
    if not times > 0:
        raise UserError(f"--times {times:g}: expected a number above 0")
    found = Replicates.of(run, level, device=device, data_dir=data_dir, dataset=dataset, model=model)
    if len(found.masks) < FEWEST:
        raise UserError(f"seeding needs {FEWEST} replicates with a ticket at least, found {len(found.masks)}")
    starts = found.starts()
    chosen = _chosen(found, {r: start.state for r, start in starts.items()}, kind)
    plain = dict(zip(starts, found.trained(list(starts.values())), strict=True))
    seeded = list(_variants(starts, chosen, {r: each.end for r, each in plain.items()}, times))
    dense = found.trained(
        [Start(v.state, starts[v.replicate].mask, starts[v.replicate].seeds) for v in seeded]
    )
    drawn = [_drawn(found, starts[v.replicate], v.state, each) for v, each in zip(seeded, dense, strict=True)]
    unseeded = {r: _drawn(found, starts[r], starts[r].state, plain[r]) for r in starts}
    tickets = found.trained([*unseeded.values(), *drawn])
    bare = dict(zip(unseeded, tickets, strict=False))
    rows = [
        (found.level, v.replicate, v.chosen, v.treatment, *_told(chosen[v.replicate][v.chosen], start.mask),
         each.early_stop_test_accuracy, ticket.early_stop_test_accuracy)
        for v, start, each, ticket in zip(seeded, drawn, dense, tickets[len(bare):], strict=True)
    ]  # fmt: skip
    rows += [
        (found.level, r, name, "none", *_told(chosen[r][name], unseeded[r].mask),
         plain[r].early_stop_test_accuracy, bare[r].early_stop_test_accuracy)
        for r in starts
        for name in CHOSEN
    ]  # fmt: skip
    table = pl.DataFrame(rows, schema=SEEDING, orient="row").sort("chosen", "treatment", "replicate")
    with run.held():
        write_parquet(run.path / "seeding.parquet", table)
    return table


def seeding_estimates(table: pl.DataFrame) -> pl.DataFrame:
    """Means over replicates with their 95% t-intervals: value, chosen, treatment, n, mean, low, high."""
    frames = [
        table.drop_nulls(value)
        .group_by("chosen", "treatment", maintain_order=True)
        .agg(
            pl.lit(value).first().alias("value"),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col(value).mean().alias("mean"),
            pl.col(value).std().alias("deviation"),
        )
        for value in VALUES
    ]
    return with_bands(pl.concat(frames), (0.0, 1.0))


def _chosen(found: Replicates, initial: Mapping[int, State], kind: Kind) -> dict[int, dict[Chosen, Mask]]:
    told = found.told({r: {0: state} for r, state in initial.items()}, 0)
    aligned = found.aligned(dict(initial))
    chosen: dict[int, dict[Chosen, Mask]] = {}
    for one in told:
        known, table = tables_for(found.net, one, [each for each in told if each is not one], aligned)
        chances = fit(kind, known, one.seeds.stream("predict", kind)).chances(table)
        counts = one.mask.counts()
        chosen[one.replicate] = {
            "predicted": predicted_mask(chances, one.mask, counts, one.seeds.stream("predict", "ties")),
            "ticket": one.mask,
            "random": shuffled(one.mask, one.seeds.stream("seeding", "random")),
        }
    return chosen


def _variants(
    starts: Mapping[int, Start],
    chosen: Mapping[int, Mapping[Chosen, Mask]],
    ends: Mapping[int, State],
    times: float,
) -> Iterator[Variant]:
    for r, start in starts.items():
        for name, mask in chosen[r].items():
            yield Variant(r, name, "scaled", scaled(start.state, mask, times))
            yield Variant(r, name, "signs", with_signs(start.state, mask, ends[r]))


def _drawn(found: Replicates, start: Start, state: State, dense: Trained) -> Start:
    """The start of the ticket that pruning a trained dense network once gives, with the weights that it began with."""
    lottery, ties = found.plan.lottery, start.seeds.stream("ties", found.level)
    probe = found.prober(start.seeds)
    mask = Pruner(lottery.rule, lottery.rates, ties, probe).to_counts(
        start.mask, state, dense.end, lottery.alive[found.level]
    )
    return Start(state, mask, start.seeds, found.level)


def _told(chosen: Mask, drawn: Mask) -> tuple[float, float, float]:
    """The share of the chosen that lives, the share that would by chance, and the chance of as many."""
    found = survival(chosen, drawn)
    many = max(found.chosen, 1)
    return found.lived / many, found.by_chance / many, found.p


def treatments(table: pl.DataFrame) -> Sequence[tuple[str, str]]:
    """(Chosen, treatment) in the order in which they are shown."""
    there = set(table.select("chosen", "treatment").iter_rows())
    return [(name, how) for name in CHOSEN for how in TREATMENTS if (name, how) in there]
