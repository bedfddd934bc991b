"""Runs: the same bits each time, nothing done twice, nothing touched outside, and progress that adds up."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from support.study_kit import Notes, contents, no_leftovers, run_tiny, times, tiny, toy_data
from tombola.lottery.cell import Cell


def test_a_run_is_whole(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    assert run.path == tmp_path / run.study.folder
    assert run.cells() == sorted(tiny().cells())
    assert run.study.model_copy(update={"data": tiny().data}) == tiny()
    assert run.study.data.digest == toy_data().digest
    assert no_leftovers(run.path)
    for cell in run.cells():
        names = {path.name for path in run.folder(cell).iterdir()}
        assert names == {
            "mask.safetensors",
            "end.safetensors",
            "best.safetensors",
            "history.parquet",
            "cell.json",
            "timing.json",
        }


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    before, bits = times(run.path), contents(run.path)
    assert run_tiny(tmp_path).path == run.path
    assert times(run.path) == before
    assert contents(run.path) == bits


def test_equal_runs_have_equal_bits(tmp_path: Path) -> None:
    study = tiny(pruning={"rewind": 5})
    one, two = run_tiny(tmp_path / "one", study), run_tiny(tmp_path / "two", study)
    assert contents(one.path) == contents(two.path)
    assert len(contents(one.path)) > 14 * 5


def test_another_seed_has_other_bits(tmp_path: Path) -> None:
    one, two = run_tiny(tmp_path, tiny(seed=0)), run_tiny(tmp_path, tiny(seed=1))
    assert one.path != two.path
    for cell in one.cells():
        ours, theirs = one.weights(cell, "end"), two.weights(cell, "end")
        assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_leaves_the_generators_of_torch_and_numpy_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the very state that must not be touched
    before, old = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    run_tiny(tmp_path)
    after = np.random.get_state()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a, b) for a, b in zip(old, after, strict=True))


def test_the_global_generators_do_not_change_a_run(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = run_tiny(tmp_path / "one")
    torch.manual_seed(2)
    two = run_tiny(tmp_path / "two")
    assert contents(one.path) == contents(two.path)


def test_progress_adds_up(tmp_path: Path) -> None:
    first, again, more = Notes(), Notes(), Notes()
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}), progress=first)
    # Two dense networks of 20 steps, and 2 levels x 2 replicates x 3 arms of 15.
    assert (first.total, first.done, first.advanced) == (2 * 20 + 12 * 15, 0, 220)
    assert sorted(first.landed_cells) == sorted(tiny().cells())
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}), progress=again)
    assert (again.total, again.done, again.advanced) == (220, 220, 0)
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}, levels=3), progress=more)
    assert (more.total, more.done, more.advanced) == (310, 220, 90)


def test_a_cell_that_was_moved_away_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    bits = contents(run.path)
    shutil.rmtree(run.folder(Cell(0, 2, "reinit", 0)))
    run_tiny(tmp_path, progress=(notes := Notes()))
    assert contents(run.path) == bits
    # Its whole stack is trained again, since alone it would round otherwise; what counts is the one cell.
    assert (notes.total - notes.done, notes.advanced) == (20, 20)
