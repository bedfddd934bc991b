"""What a page says of its run's making: the commands, when hypotheses were fixed, the layers and the disk."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.study_kit import rewrite_record
from tombola.analysis.compare_runs import compare_runs
from tombola.cli.app import main
from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.lottery.cell import Cell
from tombola.report.collect import disk_of, tables_of
from tombola.report.page.page import notes
from tombola.report.page.provenance import commands, registered
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.study.spec import Study

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The studies here are small: what they ask is more than their replicates can decide."""

CLAIM = {
    "name": "better",
    "claim": "Tickets are better.",
    "quantity": "early_stop_test_accuracy",
    "arms": ["ticket", "reinit"],
    "densities": [0.5],
    "direction": "greater",
}

PLAIN: dict[str, Any] = {"device": "cpu", "threads": 1, "engine": "mlp"}


def data() -> Dataset:
    labels = np.arange(60) % 3
    points = np.random.default_rng(0).normal(size=(60, 6)) + labels[:, None]
    return from_arrays((points, labels), (points[:30], labels[:30]))


def study(**changes: Any) -> Study:
    given: dict[str, Any] = {
        "name": "tiny",
        "replicates": 2,
        "levels": 1,
        "model": {"name": "lenet-8-6"},
        "data": {"name": "arrays", "validation": 15},
        "recipe": {"iterations": 4, "batch": 15, "evaluate_every": 2},
        "pruning": {"rate": 0.5},
        "arms": [{"name": "reinit"}],
        "hypothesis": [CLAIM],
    }
    return Study.model_validate(given | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_study(study(), RunOptions(tmp_path_factory.mktemp("runs"), dataset=data(), **PLAIN))


def test_a_run_alone_is_run_decided_and_reported(made: Run) -> None:
    first, *others = commands(made)
    record = made.environment["record"]
    assert (
        first
        == f"tombola run study.toml --engine {record['engine']} --device cpu --threads {record['threads']}"
    )
    assert others == [f"tombola verdicts {made.path.name}", f"tombola report {made.path.name}"]


def test_a_comparison_is_among_them_with_its_measures_and_levels(made: Run, tmp_path: Path) -> None:
    own = Run(Path(shutil.copytree(made.path, tmp_path / made.path.name)))
    compare_runs([own], measures=["jaccard", "sign-similarity"], level=[1], n_null=2)
    command = commands(own)[1]
    assert command.startswith(f"tombola compare {own.path.name} --measures ")
    words = shlex.split(command)
    assert set(words[words.index("--measures") + 1].split(",")) == {"jaccard", "sign-similarity"}
    assert words[words.index("--level") + 1] == "1"
    # It is a command that works, and that leads to itself.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*words, "--runs", str(tmp_path), "--n-null", "2"])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    assert commands(own)[1] == command


def test_hypotheses_are_dated_and_a_change_is_loud(made: Run, tmp_path: Path) -> None:
    [line] = registered(made).splitlines()
    assert "before the first cell, for 2 replicates" in line
    own = Run(Path(shutil.copytree(made.path, tmp_path / made.path.name)))
    run_study(
        study(hypothesis=[CLAIM | {"direction": "less"}]), RunOptions(tmp_path, dataset=data(), **PLAIN)
    )
    first, second = registered(own).splitlines()
    assert first == line
    assert "CHANGED" in second
    assert "after 6 cells" in second


def test_without_hypotheses_nothing_was_fixed(tmp_path: Path) -> None:
    options = RunOptions(tmp_path, dataset=data(), **PLAIN)
    assert registered(run_study(study(hypothesis=[], replicates=1), options)) == ""


def test_layers_are_means_over_replicates_and_disk_leaves_out_the_report(made: Run, tmp_path: Path) -> None:
    own = Run(Path(shutil.copytree(made.path, tmp_path / made.path.name)))
    shutil.rmtree(own.path / "report", ignore_errors=True)
    cell = Cell(1, 1, "ticket", 0)
    alive = own.record(cell).alive
    rewrite_record(own, cell, alive={**alive, "fc1.weight": alive["fc1.weight"] + 4})
    own = Run(own.path)
    (own.path / "report").mkdir()
    (own.path / "report" / "index.html").write_bytes(b"x" * 1_000_000)
    found = tables_of(own)
    assert found.layers is not None
    # 6 x 8 inputs, half of them pruned; 4 more in one of two replicates is 2 more on average.
    [row] = found.layers.filter(level=1, layer="fc1.weight").to_dicts()
    assert row == {"level": 1, "layer": "fc1.weight", "weights": 48, "kept": 26.0}
    assert found.disk == sum(
        path.stat().st_size for path in own.path.rglob("*") if path.is_file() and path.name != "index.html"
    )


def test_a_run_whose_ladders_ended_early_is_finished(tmp_path: Path) -> None:
    """A learning rate that no training lives through: nothing below dense will ever be trained."""
    lost = run_study(
        study(hypothesis=[], recipe={"iterations": 4, "batch": 15, "evaluate_every": 2, "lr": 1e30}),
        RunOptions(tmp_path, dataset=data(), **PLAIN),
    )
    assert {lost.record(cell).status for cell in lost.cells()} == {"diverged"}
    found = tables_of(lost)
    assert found.cells_planned == len(lost.cells()) == 2
    few, note = notes(found)
    assert few.startswith("There are two replicates")
    assert note.startswith("2 of 2 cells diverged")


def test_a_file_that_vanishes_meanwhile_does_not_count(made: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, real = disk_of(made), os.stat
    gone = made.path / "study.toml"
    size = gone.stat().st_size

    def stat(path: Any, *rest: Any, **named: Any) -> os.stat_result:
        if Path(path) == gone:
            raise FileNotFoundError(path)
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "stat", stat)
    assert disk_of(made) == whole - size
