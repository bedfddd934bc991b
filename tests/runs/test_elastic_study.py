"""A ticket of ResNet-14 stretched to ResNet-20 within a study, end to end, on images of CIFAR's shape."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tombola.analysis.costs import costs_of
from tombola.data.arrays import from_arrays
from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.study.load import load_study


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The preset of ResNet-20 to 32, a size smaller, in a handful of steps on noise."""
    rng = np.random.default_rng(0)
    parts = [
        (rng.integers(0, 256, (count, 3, 32, 32), np.uint8), np.arange(count) % 10) for count in (160, 20)
    ]
    small = [
        "name=elastic-14-20", "model.name=resnet-20", 'sources={other={model={name="resnet-14"}}}', "replicates=2",
        "levels=1", "validation=20", "iterations=4", "batch=10", "evaluate_every=2", "curve_every=0", "milestones=[]",
        "schedule=constant", "rewind=2", "arms=[]", "expect=[]",
        'route=[{name="deeper",kind="elastic",from="other",controls=["random","reinit","both","permuted","snip"]}]',
    ]  # fmt: skip
    study = load_study("elastic-20-32-cifar10", small)
    options = RunOptions(
        tmp_path_factory.mktemp("elastic"), dataset=from_arrays(*parts), device="cpu", threads=1
    )
    return run_study(study, options)


@pytest.mark.slow
def test_blocks_are_the_sources_and_all_else_goes_one_to_one(run: Run) -> None:
    """2 blocks a stage there and 3 here, appended: the third is the second again, batch-norm state and all."""
    cell, ticket = Cell(1, 1, "deeper", 0), Cell(1, 1, "ticket", 0)
    home = next(each for each in run.ladders() if each.kind == "sources/other")
    mask, start = run.mask(cell), run.start(cell)
    theirs, begun = home.mask(ticket), home.start(ticket)
    for name in mask:
        stage, _, rest = name.partition(".2.")
        origin = f"{stage}.1.{rest}" if rest else name
        assert torch.equal(mask[name], theirs[origin]), name
        assert torch.equal(start[name], begun[origin]), name
    assert torch.equal(start["stage2.2.norm1.running_mean"], begun["stage2.1.norm1.running_mean"])
    assert mask != run.mask(ticket)


@pytest.mark.slow
def test_every_control_is_trained_and_the_source_is_paid_for(run: Run) -> None:
    names = ["deeper", *(f"deeper-{each}" for each in ("random", "reinit", "both", "permuted", "snip"))]
    costs = costs_of(run)
    for name in names:
        record = run.record(Cell(0, 1, name, 0))
        assert (record.status, record.iterations) == ("ok", 2)  # rewound to iteration 2 of 4
        assert record.made is not None
        assert record.made["report"]["new_blocks"] == 3
        row = costs.filter((costs["arm"] == name) & (costs["replicate"] == 0)).row(0, named=True)
        assert row["iterations"] == 4 + 2  # the source's dense network, and its own training
        assert row["operations"] > row["training_operations"] > 0


def first_images(train: int, test: int) -> Dataset:
    """The first images of the real CIFAR-10; the test is skipped where they are not there."""
    folder = os.environ.get("TOMBOLA_DATA")
    try:
        whole = load("cifar10", Path(folder) if folder else None)
    except UserError as problem:
        pytest.skip(f"the real CIFAR-10 is not there, so that stretching was not tried on it: {problem}")
    return replace(
        whole,
        train_x=whole.train_x[:train],
        train_y=whole.train_y[:train],
        test_x=whole.test_x[:test],
        test_y=whole.test_y[:test],
    )


@pytest.mark.slow
def test_resnet_14_to_20_on_real_images(tmp_path: Path) -> None:
    """The preset a size smaller, on a few real images, for a few dozen steps: every arm of it is trained, what is
    stretched is the source's own ticket of that level, and the source is trained no further than to draw that."""
    settings = [
        "name=real-14-20", "model.name=resnet-20", 'sources={other={model={name="resnet-14"}}}', "replicates=2",
        "levels=2", "validation=100", "iterations=36", "batch=20", "evaluate_every=18", "curve_every=0",
        "milestones=[]", "schedule=constant", "rewind=6", "expect=[]",
        'arms=[{name="random-mask",levels=[2]}]',
        'route=[{name="deeper",kind="elastic",from="other",levels=[2],controls=["random","reinit"]}]',
    ]  # fmt: skip
    study = load_study("elastic-20-32-cifar10", settings)
    run = run_study(study, RunOptions(tmp_path, dataset=first_images(500, 200), device="cpu", threads=1))
    home = next(each for each in run.ladders() if each.kind == "sources/other")
    assert run.study.data.digest is not None, "a part of the images is told from the whole"
    assert [home.record(Cell(0, level, "ticket", 0)).iterations for level in range(3)] == [36, 30, None]
    for name in ("ticket", "random-mask", "deeper", "deeper-random", "deeper-reinit"):
        for r in range(2):
            record = run.record(Cell(r, 2, name, 0))
            assert (record.status, record.iterations) == ("ok", 30), name
    costs = costs_of(run)
    paid = costs.filter(pl.col("arm") == "deeper")["iterations"].to_list()
    assert paid == [36 + 30 + 30] * 2, "the source's two trainings and its own"
    stretched, lent = run.mask(Cell(1, 2, "deeper", 0)), home.mask(Cell(1, 2, "ticket", 0))
    assert torch.equal(stretched["stage1.2.conv1.weight"], lent["stage1.1.conv1.weight"])
    assert stretched.density() == pytest.approx(lent.density(), abs=0.05)
