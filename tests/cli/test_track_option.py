"""tombola run --track, and the catalogue of trackers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.program import Tombola


@pytest.mark.parametrize("swept", ["", '[sweep]\n"recipe.lr" = [0.1, 0.2]\n'])
def test_an_unknown_tracker_is_refused_before_anything_is_written(
    tombola: Tombola, study_file: Path, tmp_path: Path, swept: str
) -> None:
    study_file.write_text(study_file.read_text() + swept)
    said = tombola("run", study_file, "--track", "mlfow")
    assert said.code == 2
    assert "unknown tracker 'mlfow'; did you mean 'mlflow'?" in said.err
    assert not (tmp_path / "runs").exists()


def test_catalogue_lists_the_trackers_with_their_sources(tombola: Tombola) -> None:
    found = json.loads(tombola("catalog", "trackers", "--json").out)["trackers"]
    assert set(found) == {"tensorboard", "mlflow", "wandb"}
    assert all(line.endswith(")") for line in found.values())


@pytest.mark.slow
def test_several_trackers_of_a_sweep(tombola: Tombola, study_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: its tracker is NOT tested")
    study_file.write_text(study_file.read_text() + '[sweep]\n"recipe.lr" = [0.1, 0.2]\n')
    assert tombola("run", study_file, "--track", "tensorboard").code == 0
    told = list((tmp_path / "runs").glob("*/track/tensorboard.cells"))
    assert len(told) == 2  # a list a member
    for path in told:
        cells = {
            file.parent.relative_to(path.parents[1] / "cells").as_posix()
            for file in path.parents[1].rglob("cell.json")
        }
        assert set(path.read_text().splitlines()) == cells
