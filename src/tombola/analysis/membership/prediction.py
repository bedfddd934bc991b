"""Prediction of a run's tickets: how well it is told, from what is seen after k steps, which weights will live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from torch import nn

from tombola.alignment.words import WHOLE
from tombola.analysis.membership.young import Replicates
from tombola.data.dataset import Dataset
from tombola.files import read_parquet, write_parquet
from tombola.runs.folder import Run
from tombola.runs.results import with_bands
from tombola.stats.intervals import SHARE
from tombola.transfer.prediction import cross_validated
from tombola.transfer.predictor import MODELS, Kind

PREDICTION = {
    "level": pl.Int64, "steps": pl.Int64, "by": pl.String, "layer": pl.String, "replicate": pl.Int64,
    "quantity": pl.String, "feature": pl.String, "value": pl.Float64,
}  # fmt: skip
RELIABILITY = {
    "level": pl.Int64, "steps": pl.Int64, "by": pl.String, "replicate": pl.Int64, "tenth": pl.Int64,
    "weights": pl.Int64, "said": pl.Float64, "lived": pl.Float64,
}  # fmt: skip
FILES = {"prediction.parquet": PREDICTION, "reliability.parquet": RELIABILITY}


@dataclass(frozen=True)
class Prediction:
    """One row a number of a tested replicate (`PREDICTION`; see `transfer.prediction.Finding`), and one row a tenth of
    the chances that a model gave (`RELIABILITY`)."""

    values: pl.DataFrame
    reliability: pl.DataFrame


def predict_run(
    run: Run,
    *,
    level: int | None = None,
    steps: Sequence[int] | None = None,
    kinds: Sequence[Kind] = tuple(MODELS),
    device: str = "auto",
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
) -> Prediction:
    """Tell the tickets of a level, each replicate's from the others; the tables are stored in the run.

    `steps` are how far training has come: by default not at all, a twentieth and a quarter of it. The dense networks
    are trained anew that far, with the noise of the run. Raises UserError for fewer than three tickets, and a network
    whose hidden units cannot be followed.
    """
    found = Replicates.of(run, level, device=device, data_dir=data_dir, dataset=dataset, model=model)
    if steps is None:
        steps = sorted({0, *(run.study.recipe.iterations // part for part in (20, 4))})
    states = found.after([0, *steps])
    values, tenths = [], []
    for k in steps:
        told = found.told(states, k)
        aligned = found.aligned({r: states[r][k] for r in states})
        scored, reliable = cross_validated(found.net, told, aligned, kinds)
        values += [{"level": found.level, "steps": k, **asdict(each)} for each in scored]
        tenths += [{"level": found.level, "steps": k, **asdict(each)} for each in reliable]
    made = Prediction(pl.DataFrame(values, schema=PREDICTION), pl.DataFrame(tenths, schema=RELIABILITY))
    with run.held():
        for name, frame in zip(FILES, (made.values, made.reliability), strict=True):
            write_parquet(run.path / name, frame)
    return made


def prediction_of(run: Run) -> Prediction | None:
    """What `predict_run` stored in a run last; None where it never did. Raises UserError for files that are broken."""
    if not all((run.path / name).is_file() for name in FILES):
        return None
    return Prediction(*(read_parquet(run.path / name, columns) for name, columns in FILES.items()))


def estimates(found: Prediction, quantity: str = "auc") -> pl.DataFrame:
    """Mean of a quantity with its 95% t-interval over tested replicates: level, steps, by, layer, feature, n, mean,
    low, high. Replicates share what models were fitted on, which the interval does not know of."""
    keys = ["level", "steps", "by", "layer", "feature"]
    means = (
        found.values.filter(quantity=quantity)
        .group_by(keys, maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("value").mean().alias("mean"),
            pl.col("value").std().alias("deviation"),
        )
    )
    return with_bands(means, SHARE) if quantity != "importance" else with_bands(means)


def beyond(found: Prediction, by: str, plain: str, layer: str = WHOLE) -> pl.DataFrame:
    """By how much the AUC of a model is above that of a plain score on the same replicate: level, steps, n, mean, low,
    high."""
    of = found.values.filter(quantity="auc", layer=layer).select("level", "steps", "replicate", "by", "value")
    pairs = of.filter(by=by).join(of.filter(by=plain), on=["level", "steps", "replicate"])
    gains = pairs.with_columns(gain=pl.col("value") - pl.col("value_right"))
    means = gains.group_by("level", "steps", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n"),
        pl.col("gain").mean().alias("mean"),
        pl.col("gain").std().alias("deviation"),
    )
    return with_bands(means)


def calibration(found: Prediction) -> pl.DataFrame:
    """Of all replicates together: level, steps, by, tenth, weights, said and lived (means by weights)."""
    weight = pl.col("weights") / pl.col("weights").sum()
    return (
        found.reliability.group_by("level", "steps", "by", "tenth")
        .agg(
            pl.col("weights").sum(),
            (pl.col("said") * weight).sum(),
            (pl.col("lived") * weight).sum(),
        )
        .sort("level", "steps", "by", "tenth")
    )
