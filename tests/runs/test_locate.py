"""Finding runs and tickets by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import run_tiny, tiny, toy_data
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.locate import all_runs, find_run, open_ticket

FIRST = Cell(0, 0, "ticket", 0)


def test_runs_are_found_by_folder_name_and_unique_beginning(tmp_path: Path) -> None:
    one = run_tiny(tmp_path, tiny(name="alpha", levels=0))
    two = run_tiny(tmp_path, tiny(name="alpine", levels=0))
    (tmp_path / "notes").mkdir()
    assert [run.path for run in all_runs(tmp_path)] == [one.path, two.path]
    assert all_runs(tmp_path / "nowhere") == []
    for name in ("alpha", one.path.name, str(one.path)):
        assert find_run(name, tmp_path).path == one.path
    with pytest.raises(UserError, match=f"beginning of several runs: {one.path.name}, {two.path.name}"):
        find_run("alp", tmp_path)
    with pytest.raises(UserError, match="did you mean 'alpine-"):
        find_run(f"alpina-{two.study.identity()}", tmp_path)
    with pytest.raises(UserError, match=r"^no run 'alpha' under .*nowhere; there are none$"):
        find_run("alpha", tmp_path / "nowhere")


def test_only_a_cell_folder_is_a_ticket(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=0))
    for path in (run.path, run.path / "cells", run.folder(FIRST).parent, tmp_path):
        with pytest.raises(UserError, match="not a cell folder"):
            open_ticket(path)
    with pytest.raises(UserError, match="no such file"):
        open_ticket(tmp_path / "nothing.safetensors")
    assert toy_data().classes == 3
