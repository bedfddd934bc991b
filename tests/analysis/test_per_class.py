"""Accuracy by class: over all examples it is the accuracy that was reported, and means are of replicates."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

import tombola
from tombola.analysis.per_class import SCHEMA, class_means, per_class
from tombola.data.catalog import load
from tombola.errors import UserError
from tombola.runs.folder import Run

TINY = """
name = "tiny"
replicates = 2
levels = 1
model = { name = "lenet-12-8" }
data = { name = "digits" }
recipe = { iterations = 60, evaluate_every = 10, lr = 0.02 }
arms = [{ name = "freeze" }, { name = "random-mask", draws = 2 }]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("tiny")
    (place / "tiny.toml").write_text(TINY)
    found = tombola.run(place / "tiny.toml", out=place)
    assert isinstance(found, Run)
    return found


def test_over_all_examples_it_is_what_was_reported(run: Run) -> None:
    rows = per_class(run)
    assert rows.schema == SCHEMA
    labels = load("digits").test_y
    for cell in run.cells():
        own = rows.filter(replicate=cell.replicate, level=cell.level, arm=cell.arm, draw=cell.draw)
        assert own["class"].to_list() == list(range(10))
        assert own["examples"].to_list() == [int((labels == label).sum()) for label in range(10)]
        found = (own["examples"] * own["accuracy"]).sum() / len(labels)
        assert found == pytest.approx(run.record(cell).early_stop_test_accuracy, abs=1e-9), cell


def test_draws_are_averaged_within_replicates_first() -> None:
    cells = [(0, 0, 0, 1.0), (0, 0, 1, 0.0), (0, 1, 0, 0.0), (0, 1, 1, 0.0), (1, 0, 0, 1.0), (1, 0, 1, 0.5)]
    rows = pl.DataFrame(
        [
            {
                "replicate": r,
                "level": 1,
                "arm": "a",
                "draw": draw,
                "class": label,
                "examples": 5,
                "accuracy": share,
            }
            for r, draw, label, share in cells
        ],
        schema=SCHEMA,
    )
    # Class 0: replicate 0 has (1 + 0) / 2, replicate 1 has 1; class 1: 0 and 0.5. Their mean is (0.75 + 0.25) / 2.
    assert class_means(rows).to_dicts() == [
        {"arm": "a", "level": 1, "n": 2, "balanced": 0.5, "0": 0.75, "1": 0.25}
    ]


def test_weights_that_were_not_kept_are_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / run.path.name)
    other = Run(tmp_path / run.path.name)
    for path in other.path.glob("cells/r0/L00/*/*/*.safetensors"):
        if path.name != "mask.safetensors":
            path.unlink()
    with pytest.raises(UserError):
        per_class(other)
