"""Accuracy by class: of each network at its early stop, on the test set. The weights are measured anew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import polars as pl
import torch

from tombola.analysis.exams import require_classes
from tombola.data.resident import Resident, chunks
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.runs.environment import require_same_function
from tombola.runs.folder import Run
from tombola.seeds import Seeds
from tombola.study.bind import bind
from tombola.training.engines.base import Demand, Job
from tombola.training.engines.select import choose
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start

SCHEMA = {
    "replicate": pl.Int64,
    "level": pl.Int64,
    "arm": pl.String,
    "draw": pl.Int64,
    "class": pl.Int64,
    "examples": pl.Int64,
    "accuracy": pl.Float64,
}


def per_class(run: Run, data_dir: Path | None = None) -> pl.DataFrame:
    """One row a cell and class: how many test examples are of it, and the share of them that is found at early stop.

    Raises UserError for a run that kept no weights, data that are not there, a network that computes something else
    than when the run was made, and code that is not trusted.
    """
    require_classes(run, "accuracy by class")
    study, dataset, net = bind(run.study, data_dir)
    require_same_function(run, net)
    data = Resident(dataset, study.data.normalisation, torch.device("cpu"))
    rows = []
    for cell in run.cells():
        if run.record(cell).status != "ok":
            continue
        if not run.keeps_weights(cell):
            raise UserError(
                f"{run.folder(cell)}: its weights were not kept, so that it cannot be measured by class"
            )
        hits = _hits(run, cell, net, data, study.recipe.precision)
        for label in range(data.classes):
            own = data.test_y == label
            share = float(hits[own].double().mean()) if bool(own.any()) else None
            rows.append({**asdict(cell), "class": label, "examples": int(own.sum()), "accuracy": share})
    return pl.DataFrame(rows, schema=SCHEMA)


def _hits(run: Run, cell: Cell, net: Architecture, data: Resident, precision: str) -> torch.Tensor:
    """Which test examples a network finds at its early stop, bool [n]."""
    # Dead weights have their values in the state already, zero or not: no mask is needed to measure.
    start = Start(run.weights(cell, "best"), Mask.dense(net.prunable_shapes), Seeds.single(0))
    recipe = Recipe.model_validate({"precision": precision})
    kind = choose("modules", net, data.device, Demand(recipe, streamed=data.streamed))
    engine = kind(Job(net, Stack(net, [start], data.device), [0], [0], recipe))
    found = []
    with torch.no_grad():
        for begin, end in chunks(data.n_test, engine.chunk):
            x = data.test(begin, end)[None]
            alone = end - begin == 1  # shown twice, since some networks take no batch of one
            logits = engine.logits(x.repeat_interleave(2, dim=1))[:, :1] if alone else engine.logits(x)
            found.append(logits[0].argmax(-1) == data.test_y[begin:end])
    return torch.cat(found)


def class_means(rows: pl.DataFrame) -> pl.DataFrame:
    """One row an arm and level: replicates, the mean of the classes' accuracies ("balanced") and each class's, over
    replicates; draws are averaged within them first."""
    within = rows.group_by("level", "arm", "replicate", "class", maintain_order=True).agg(
        pl.col("accuracy").mean()
    )
    means = within.group_by("level", "arm", "class", maintain_order=True).agg(
        pl.col("accuracy").mean(), n=pl.col("replicate").n_unique()
    )
    wide = means.pivot("class", index=["level", "arm", "n"], values="accuracy")
    classes = [name for name in wide.columns if name not in ("level", "arm", "n")]
    return wide.with_columns(balanced=pl.mean_horizontal(classes)).select(
        "arm", "level", "n", "balanced", *classes
    )
