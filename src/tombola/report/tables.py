"""What every picture is drawn from: tidy frames, and nothing else of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.analysis.membership.prediction import Prediction
from tombola.analysis.savings import Saving
from tombola.errors import UserError
from tombola.metrics import Metric, metric_in
from tombola.models.scope import Scope
from tombola.study.claims import with_gap


def values_of(metric: Metric) -> tuple[str, ...]:
    """What is summarised over replicates for the page: columns of the results, and the train-test gap."""
    return metric.early_stop, metric.final_test, "early_stop_iteration", metric.gap


Summarise = Callable[[pl.DataFrame, str], pl.DataFrame]


class NothingToDrawError(UserError):
    """The tables do not hold what a picture shows; its sentence is what the page prints in its place."""


@dataclass(frozen=True)
class Looks:
    """Masks made at n `iterations` of a dense training: `distances` [n, n] (shares of all weights), means over
    replicates."""

    iterations: Sequence[int]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Tables:
    """The frames of one run, or of several together.

    results: one row a cell (replicate, level, arm, draw, status, density 0..1, accuracies 0..1, ...).
    history: one row an evaluation (replicate, level, arm, draw, density, iteration, split, loss, accuracy).
    summaries: value -> frame (arm, level, density, n, mean, low, high) over replicates; see `values_of`.
    masks_map: level -> [H, W] surviving first-layer weights of each input pixel, summed over channels (a count,
        or its mean over replicates); None where the input is not an image.
    cells_planned: how many cells the study has, to tell a finished run from one under way; None if not known.
    paths: one row a pair, split and place between its networks (see `study.Connection`); None where none was measured.
    pairs: the rows of `compare.SCHEMA` on pairs of the run's own cells, with their `density` and, for a and likewise
        for b, `replicate_a, level_a, arm_a, draw_a`; None where nothing was compared.
    layers: one row a level and prunable layer of the tickets: `level, layer, weights` (how many it has), `kept` (how
        many remain, mean over replicates), in the network's order; None where it is not known.
    scope: how much of the network is prunable; None in runs of old, which did not note it.
    disk: bytes that the run takes without its report; None where it is not known.
    beside: the results of the ladders beside the replicates, their `arm` being `donors` or `twins`; None without any.
    consensus: the rows of the run's `study.Comparison.consensus`; None where nothing was compared.
    seen: level -> the masks made while networks trained; empty unless trainings were watched for them.
    overlap: `level, arm, overlap`: the mean share (%) of the ticket's places that an arm keeps, over replicates and
        tensors that are pruned; None where no arm was asked about.
    verdicts: one row a test of the run's claims (`analysis.verdict.VERDICTS`); None where none was decided.
    ways: one row an arm and level of the tickets (dense among them) and of every other way to one: `arm, level,
        density, n, mean, low, high` of test accuracy at early stop, and the whole cost in `iterations, operations,
        seconds`, means over replicates; None where costs are not known.
    routes: the arms whose tickets are made from other tickets, without their controls.
    savings: every arm at every level beside the ticket, and again beside the dense network, in accuracy and in cost;
        empty where nothing is known.
    prediction: how well tickets are told before training; None where nobody asked.
    runs: label -> the tables of each run, where there are several: all frames then have a column `run` of labels.
    """

    title: str
    results: pl.DataFrame
    history: pl.DataFrame | None
    summaries: Mapping[str, pl.DataFrame]
    masks_map: Mapping[int, NDArray[Any]] | None = None
    cells_planned: int | None = None
    paths: pl.DataFrame | None = None
    pairs: pl.DataFrame | None = None
    consensus: pl.DataFrame | None = None
    layers: pl.DataFrame | None = None
    scope: Scope | None = None
    disk: int | None = None
    beside: pl.DataFrame | None = None
    seen: Mapping[int, Looks] = field(default_factory=dict)
    verdicts: pl.DataFrame | None = None
    overlap: pl.DataFrame | None = None
    ways: pl.DataFrame | None = None
    savings: Sequence[Saving] = ()
    prediction: Prediction | None = None
    routes: frozenset[str] = frozenset()
    runs: Mapping[str, Tables] = field(default_factory=dict)

    @classmethod
    def together(cls, title: str, runs: Mapping[str, Tables]) -> Tables:
        """The tables of several runs (label -> tables) as one, in their order."""

        def stacked(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
            named = pl.Enum(list(runs))  # sorts in the order of the runs
            labelled = [frame.with_columns(run=pl.lit(label, named)) for label, frame in frames.items()]
            return pl.concat(labelled, how="diagonal_relaxed")

        values = dict.fromkeys(value for each in runs.values() for value in each.summaries)
        kept = {label: each.history for label, each in runs.items() if each.history is not None}
        planned = [each.cells_planned for each in runs.values()]
        return cls(
            title,
            stacked({label: each.results for label, each in runs.items()}),
            stacked(kept) if kept else None,
            {
                value: stacked(
                    {label: each.summaries[value] for label, each in runs.items() if value in each.summaries}
                )
                for value in values
            },
            cells_planned=None if None in planned else sum(number or 0 for number in planned),
            runs=runs,
        )

    @classmethod
    def collect(
        cls,
        title: str,
        results: pl.DataFrame,
        history: pl.DataFrame | None,
        summarise: Summarise,
        masks_map: Mapping[int, NDArray[Any]] | None = None,
        cells_planned: int | None = None,
    ) -> Tables:
        """Tables whose summaries are `summarise(results, value)` for each of `values_of` their metric."""
        full = with_gap(results)
        summaries = {value: summarise(full, value) for value in values_of(metric_in(results.columns))}
        return cls(title, full, history, summaries, masks_map, cells_planned)

    @property
    def metric(self) -> Metric:
        """What networks are measured by."""
        return metric_in(self.results.columns)

    def only(self, arm: str) -> Tables:
        """The same without the rows of other arms."""

        def kept(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.filter(pl.col("arm") == arm)

        return replace(
            self,
            results=kept(self.results),
            history=None if self.history is None else kept(self.history),
            summaries={value: kept(frame) for value, frame in self.summaries.items()},
            runs={label: each.only(arm) for label, each in self.runs.items()},
        )

    def summary(self, value: str) -> pl.DataFrame:
        """The summary of one value without the rows that have no finite mean, sorted by run, arm and level.

        Raises NothingToDrawError when nothing is left.
        """
        frame = self.summaries.get(value)
        if frame is not None and not frame.is_empty():
            # A column that is null throughout has polars' Null type, which knows no is_finite: hence the cast.
            frame = frame.with_columns(pl.col("density", "mean", "low", "high").cast(pl.Float64))
            frame = frame.filter(pl.col("mean").is_finite() & (pl.col("density") > 0))
            frame = frame.sort(*(["run"] if self.runs else []), "arm", "level")
        if frame is None or frame.is_empty():
            raise NothingToDrawError(f"No finished cell has a value of '{value.replace('_', ' ')}' yet.")
        return frame

    def densities(self) -> dict[int, float]:
        """Level -> mean density (0..1) over the cells that have one, ascending by level."""
        known = self.results.filter(pl.col("density").is_not_null())
        means = known.group_by("level").agg(pl.col("density").mean()).sort("level")
        return dict(means.select("level", "density").iter_rows())

    def replicates(self) -> int:
        """How many replicates have at least one cell."""
        return self.results["replicate"].n_unique()

    def maps(self) -> dict[int, NDArray[np.float64]]:
        """The input maps as float64, ascending by level; NothingToDrawError where there are none."""
        if not self.masks_map:
            raise NothingToDrawError(
                "The first layer does not see an image, so there is no map of its pixels."
            )
        return {
            level: np.asarray(self.masks_map[level], dtype=np.float64) for level in sorted(self.masks_map)
        }

    def looks(self) -> dict[int, Looks]:
        """What was seen of the dense trainings, ascending by level; NothingToDrawError where nobody looked."""
        if not self.seen:
            raise NothingToDrawError(
                "No masks were made while networks trained, as modes 'early-bird' and 'short-rounds' do."
            )
        return {level: self.seen[level] for level in sorted(self.seen)}
