"""Broken files in run folders are named, and nothing is made up for what is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.study_kit import cells_of, run_tiny, times, tiny
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.runs.results import histories, results_of


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


RERUN: Callable[[Run], Any] = lambda run: run_tiny(run.path.parent, tiny(levels=3))  # noqa: E731
FIRST = Cell(0, 0, "ticket", 0)
BREAKS: dict[str, tuple[str, Callable[[Run], Any]]] = {
    "cell.json, results": ("cells/r0/L00/ticket/0/cell.json", results_of),
    "cell.json, rerun": ("cells/r0/L00/ticket/0/cell.json", RERUN),
    "timing.json": ("cells/r0/L00/ticket/0/timing.json", results_of),
    "mask, access": ("cells/r0/L00/ticket/0/mask.safetensors", lambda run: run.mask(FIRST)),
    "mask, rerun": ("cells/r0/L02/ticket/0/mask.safetensors", RERUN),
    "end, access": ("cells/r0/L00/ticket/0/end.safetensors", lambda run: run.weights(FIRST, "end")),
    "end, rerun": ("cells/r0/L02/ticket/0/end.safetensors", RERUN),
    "history": ("cells/r0/L00/ticket/0/history.parquet", histories),
    "study.toml, access": ("study.toml", lambda run: run.study),
    "study.toml, rerun": ("study.toml", RERUN),
    "environment.json": ("environment.json", RERUN),
}


@pytest.mark.parametrize("what", sorted(BREAKS))
def test_a_truncated_file_is_named_and_no_cell_is_changed(what: str, made: Run) -> None:
    name, touch = BREAKS[what]
    truncate(made.path / name)
    if name == "study.toml":  # half of it may be a whole, other study
        (made.path / name).write_text('name = "tin')
    before = cells_of(times(made.path))
    with pytest.raises(UserError) as caught:
        touch(made)
    assert str(made.path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cells_of(times(made.path)) == before


def test_a_missing_start_is_named(made: Run) -> None:
    path = made.start_file(made.record(FIRST).start.digest)
    path.unlink()
    with pytest.raises(UserError) as caught:
        made.start(FIRST)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "{}", '{"status": "ok"}', "null"])
def test_a_record_that_is_none_is_named(content: str, made: Run) -> None:
    path = made.folder(FIRST) / "cell.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        results_of(made)
    assert str(path) in str(caught.value)


def test_a_cell_without_its_record_is_neither_overwritten_nor_taken(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    (run.folder(FIRST) / "cell.json").unlink()
    before = times(run.path)
    with pytest.raises(UserError, match=r"L00/ticket/0: holds no cell\.json"):
        run_tiny(tmp_path)
    assert times(run.path) == before


@pytest.mark.filterwarnings("ignore:.*environment.json. is missing")
def test_a_lost_engine_record_is_not_made_up(made: Run, tmp_path: Path) -> None:
    (made.path / "environment.json").unlink()
    with pytest.raises(UserError, match=r"environment\.json: is missing"):
        run_tiny(tmp_path, tiny(levels=3))
    (made.path / "environment.json").write_text("{}\n")
    with pytest.raises(UserError, match=r"environment\.json: "):
        run_tiny(tmp_path, tiny(levels=3))


def test_results_parquet_is_rebuilt_from_the_cells(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    bits = (run.path / "results.parquet").read_bytes()
    truncate(run.path / "results.parquet")
    run_tiny(tmp_path)
    assert (run.path / "results.parquet").read_bytes() == bits


def test_no_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        Run.open(tmp_path)


def test_a_replicate_that_cannot_be_read_is_not_left_out(made: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = made.path / "cells" / "r1", os.scandir

    def closed(path: Path) -> Any:
        if str(path) == str(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", closed)
        for read in (results_of, Run.headway, histories):
            with pytest.raises(UserError, match=rf"^{folder}: cannot be read \(Permission denied\)$"):
                read(Run(made.path))
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    with pytest.raises(UserError, match=rf"^{folder}: cannot be read \(Not a directory\)$"):
        results_of(Run(made.path))
