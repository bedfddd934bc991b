"""A study that processes of torchrun train together: one of them has the folder, all have the steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.runs.work.ranks import assists

ROOT = Path(__file__).parents[3]
STUDY = """
name = "together"
replicates = 2
levels = 1
[model]
name = "resnet-14"
[data]
name = "npz:data.npz"
validation = 20
[recipe]
iterations = 8
batch = 9
evaluate_every = 4
optimizer = "sgd"
lr = 0.01
flip = true
[pruning]
rewind = 2
[[arms]]
name = "reinit"
"""
pytestmark = pytest.mark.slow


def run(size: int, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    alone = [] if size == 1 else torchrun
    command = [sys.executable, *alone, "-m", "tombola", "run", "together.toml", "--until", "training"]
    return subprocess.run(
        [*command, "--engine", "modules", "--threads", "1", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = rng.normal(size=(80, 3, 8, 8)).astype(np.float32) + y[:, None, None, None]
    np.savez(tmp_path / "data.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    (tmp_path / "together.toml").write_text(STUDY)
    return tmp_path


def results(folder: Path) -> tuple[Run, pl.DataFrame]:
    (path,) = folder.iterdir()
    return Run.open(path), results_of(Run.open(path), timed=False)


def test_two_processes_make_the_run_of_one_to_rounding(study: Path) -> None:
    done = {size: run(size, study, "--out", f"by-{size}") for size in (1, 2)}
    for each in done.values():
        assert each.returncode == 0, each.stderr
    assert done[2].stdout.count("by-2/together-") == 1, "one process says it"
    alone, expected = results(study / "by-1")
    both, found = results(study / "by-2")
    assert found.drop("early_stop_val_loss").equals(expected.drop("early_stop_val_loss"))
    assert np.allclose(found["early_stop_val_loss"], expected["early_stop_val_loss"], rtol=1e-3)
    assert (both.environment["record"]["ranks"], "ranks" in alone.environment["record"]) == (2, False)
    ranks_of = {cell: both.weights(cell, "end") for cell in both.cells()}
    assert any(
        not (alone.weights(cell, "end")["conv.weight"] == end["conv.weight"]).all()
        for cell, end in ranks_of.items()
    )
    # It is extended by as many, and refused by one.
    more = run(2, study, "--out", "by-2", "--set", "replicates=3")
    assert more.returncode == 0, more.stderr
    assert len(results(study / "by-2")[1]) == 9
    other = run(1, study, "--out", "by-2", "--set", "replicates=4")
    assert "was begun with ranks 2, found 1" in other.stderr
    assert other.returncode == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "local:2"], "the processes of torchrun train together; expected no --on and no --shard"),
        (["--set", "recipe.batch=1"], "cannot train together on batches of 1; expected recipe.batch = 2"),
        (["--engine", "mlp"], "cannot train together by engine 'mlp'; expected 'modules'"),
    ],
)
def test_what_cannot_be_is_a_sentence(study: Path, words: list[str], sentence: str) -> None:
    said = run(2, study, *words)
    assert said.returncode
    assert f"tombola: {'2 processes of torchrun ' if 'cannot' in sentence else ''}{sentence}" in said.stderr
    assert not list(study.glob("runs/*/cells"))


def test_alone_a_process_assists_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not assists(RunOptions(on="local:2"), dry_run=False)
