"""What every picture is drawn from: tidy frames, and nothing else of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.errors import UserError

VALUES = ("early_stop_test_accuracy", "final_test_accuracy", "early_stop_iteration", "gap")
"""What is summarised over replicates for the page: columns of the results, and the train-test gap."""

Summarise = Callable[[pl.DataFrame, str], pl.DataFrame]


class NothingToDrawError(UserError):
    """The tables do not hold what a picture shows; its sentence is what the page prints in its place."""


def with_gap(results: pl.DataFrame) -> pl.DataFrame:
    """The results with a column `gap`: training minus test accuracy at the end (0..1, null where not trained)."""
    return results.with_columns(gap=pl.col("final_train_accuracy") - pl.col("final_test_accuracy"))


@dataclass(frozen=True)
class Tables:
    """The frames of one run.

    results: one row a cell (replicate, level, arm, draw, status, density 0..1, accuracies 0..1, ...).
    history: one row an evaluation (replicate, level, arm, draw, density, iteration, split, loss, accuracy).
    summaries: value -> frame (arm, level, density, n, mean, low, high) over replicates; see VALUES.
    masks_map: level -> [H, W] surviving first-layer weights of each input pixel, summed over channels (a count,
        or its mean over replicates); None where the input is not an image.
    cells_planned: how many cells the study has, to tell a finished run from one under way; None if not known.
    """

    title: str
    results: pl.DataFrame
    history: pl.DataFrame | None
    summaries: Mapping[str, pl.DataFrame]
    masks_map: Mapping[int, NDArray[Any]] | None = None
    cells_planned: int | None = None

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
        """Tables whose summaries are `summarise(results, value)` for each of VALUES."""
        full = with_gap(results)
        summaries = {value: summarise(full, value) for value in VALUES}
        return cls(title, full, history, summaries, masks_map, cells_planned)

    def summary(self, value: str) -> pl.DataFrame:
        """The summary of one value without the rows that have no finite mean, sorted by arm and level.

        Raises NothingToDrawError when nothing is left.
        """
        frame = self.summaries.get(value)
        if frame is not None and not frame.is_empty():
            # A column that is null throughout has polars' Null type, which knows no is_finite: hence the cast.
            frame = frame.with_columns(pl.col("density", "mean", "low", "high").cast(pl.Float64))
            frame = frame.filter(pl.col("mean").is_finite() & (pl.col("density") > 0)).sort("arm", "level")
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


def percent(density: float) -> str:
    """A density (0..1) as people write it: 1.0 -> '100%', 0.2107 -> '21.1%', 0.00123 -> '0.12%'."""
    value = 100 * density
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0") + "%"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%" if value >= 0.1 else f"{value:.2g}%"
