"""Damaged cells are trained again, just those, to the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cases import also_slow
from support.damage import DAMAGES, FILES, files_of, finished, watched
from support.study_kit import contents, no_leftovers, rewrite_record, run_tiny, tiny, toy_data
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.check.damage import damages_of
from tombola.runs.check.repair import Mended, repair
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The study is small: what it asks is more than its replicates can decide."""

TRAINED = [kind for kind, (first, _) in FILES.items() if "cells/" in first or kind == "start"]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs; only copies are handed out."""
    made = {make.__name__: make(tmp_path_factory.mktemp(make.__name__)).path for make in (finished, watched)}
    study = tiny(store={"keep": "masks"}, levels=1)
    return {**made, "masks": run_tiny(tmp_path_factory.mktemp("masks"), study).path}


@pytest.fixture
def copied(wholes: dict[str, Path], tmp_path: Path) -> Callable[[str], Run]:
    def copy(name: str) -> Run:
        return Run(Path(shutil.copytree(wholes[name], tmp_path / wholes[name].name)))

    return copy


def repaired(run: Run) -> list[Mended]:
    options = RunOptions(run.path.parent, dataset=toy_data(), device="cpu", threads=1)
    return repair(run, damages_of(run), options)


@pytest.mark.parametrize(
    ("kind", "how"),
    also_slow(
        [
            ("mask", "bit"),
            ("start", "delete"),
            ("copy end", "bit"),
            ("donor mask", "swap"),
            ("early bird", "bit"),
        ],
        [(kind, how) for kind in TRAINED for how in ("bit", "swap", "delete")],
    ),
)
def test_it_is_trained_again_to_the_same_bits(kind: str, how: str, copied: Callable[[str], Run]) -> None:
    run = copied("watched" if kind == "early bird" else "finished")
    before = contents(run.path)
    DAMAGES[how](*files_of(run, kind))
    if kind == "early bird" and how == "delete":
        assert damages_of(run) == [], "such a run is not finished, and running it again makes the bird"
        return
    mended = repaired(Run(run.path))
    assert mended
    assert all(each.same for each in mended), mended
    assert contents(run.path) == before
    assert damages_of(Run(run.path)) == []
    assert no_leftovers(run.path)
    assert not (run.path / "damaged").exists()


def test_just_the_damaged_cell_is_trained(copied: Callable[[str], Run]) -> None:
    run = copied("finished")
    times = {path: path.stat().st_mtime_ns for path in run.path.rglob("cell.json")}
    path, _ = files_of(run, "mask")
    DAMAGES["bit"](path, None)
    repaired(run)
    assert [each for each in times if each.stat().st_mtime_ns != times[each]] == [path.parent / "cell.json"]


@pytest.mark.parametrize("kind", ["measures", "compared", "verdicts", "connect"])
def test_a_table_that_is_made_of_cells_is_removed(kind: str, copied: Callable[[str], Run]) -> None:
    run = copied("finished")
    path, _ = files_of(run, kind)
    DAMAGES["bit"](path, None)
    mended = repaired(run)
    assert f"{path}: removed; tombola " in "".join(each.said for each in mended)
    assert not path.exists()
    assert damages_of(Run(run.path)) == []


def test_the_results_are_made_of_the_cells(copied: Callable[[str], Run]) -> None:
    run = copied("finished")
    before = contents(run.path)
    DAMAGES["bit"](run.path / "results.parquet", None)
    assert repaired(run) == [Mended(f"{run.path}/results.parquet: made again", True)]
    assert contents(run.path) == before


def test_where_the_bits_are_others_it_is_said(copied: Callable[[str], Run]) -> None:
    """As on another kind of processor: the record, which is whole, tells of another training."""
    run = copied("finished")
    cell = Cell(0, 1, "reinit", 0)
    rewrite_record(run, cell, final_test_accuracy=0.123)
    DAMAGES["bit"](run.folder(cell) / "mask.safetensors", None)
    (said,) = repaired(Run(run.path))
    assert not said.same
    assert said.said.startswith(
        f"{run.folder(cell)}: trained again, and it differs (cell.json); the run was made on "
    )


def test_what_cannot_be_trained_again_is_left_and_said(copied: Callable[[str], Run]) -> None:
    run = copied("masks")
    cell = Cell(1, 1, "ticket", 0)
    DAMAGES["bit"](run.folder(cell) / "mask.safetensors", None)
    before = contents(run.path)
    mended = repaired(run)
    assert not any(each.same for each in mended)
    assert mended[0].said.startswith(f"{run.folder(cell)}: the weights that it was pruned from are gone")
    assert contents(run.path) == before


@pytest.mark.parametrize("kind", ["study", "environment"])
def test_without_study_or_record_nothing_is_touched(kind: str, copied: Callable[[str], Run]) -> None:
    run = copied("finished")
    DAMAGES["truncate"](files_of(run, kind)[0], None)
    DAMAGES["bit"](files_of(run, "mask")[0], None)
    before = contents(run.path)
    with pytest.raises(UserError, match="nothing can be trained without it"):
        repaired(Run(run.path))
    assert contents(run.path) == before


def test_where_training_fails_all_is_put_back(
    copied: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied("finished")
    DAMAGES["bit"](files_of(run, "mask")[0], None)
    DAMAGES["bit"](files_of(run, "start")[0], None)
    before = contents(run.path)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tombola.runs.check.repair.run_study", fail)
    with pytest.raises(KeyboardInterrupt):
        repaired(Run(run.path))
    assert contents(run.path) == before
