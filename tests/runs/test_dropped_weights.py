"""Dropping weights once a run is complete (store.keep = "masks") is a step that can be taken up again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.study_kit import contents, run_tiny, tiny
from tombola.errors import UserError
from tombola.files import write_json
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.runs.work import worker

STUDY = tiny(store={"keep": "masks"}, arms=[{"name": "reinit"}, {"name": "fresh"}])
CELLS = 14


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("whole"), STUDY)


def killed_while_dropping(out: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that was stopped when it had dropped the weights of so many cells."""
    real, left = Run.forget_weights, after

    def forget(self: Run, cell: Cell) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        real(self, cell)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "forget_weights", forget)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(out, STUDY)
    [path] = out.iterdir()
    return Run(path)


@pytest.mark.parametrize("after", [1, 5, CELLS - 1])
def test_it_finishes_with_the_same_bits(
    after: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed_while_dropping(tmp_path, after, monkeypatch)
    assert len(run.cells()) == CELLS
    assert any(run.keeps_weights(cell) for cell in run.cells())
    assert contents(run_tiny(tmp_path, STUDY).path) == contents(whole.path)


@pytest.mark.parametrize("study", [STUDY, tiny()], ids=["masks", "living"])
def test_where_nothing_is_missing_nothing_is_drawn(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run_tiny(tmp_path, study).path)

    def draw(*_: object) -> Any:
        raise AssertionError("drawn again")

    monkeypatch.setattr(worker, "draw", draw)
    assert contents(run_tiny(tmp_path, study).path) == before


def test_a_cell_whose_stack_cannot_be_drawn_any_more_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed_while_dropping(tmp_path, 4, monkeypatch)
    assert not run.keeps_weights(Cell(0, 1, "ticket", 0))
    assert run.keeps_weights(Cell(1, 1, "ticket", 0))
    shutil.rmtree(run.folder(Cell(1, 2, "ticket", 0)))
    before = contents(run.path)
    with pytest.raises(UserError) as caught:
        run_tiny(tmp_path, STUDY)
    assert str(caught.value) == (
        f"{run.path}/environment.json: r1/L02/ticket/0 is trained in one stack with r0/L02/ticket/0, and the weights "
        "that this was pruned from are gone; put it back, or start a run of another name"
    )
    assert contents(run.path) == before


@pytest.mark.parametrize("sealed", [True, False])
def test_a_stack_of_a_cell_that_there_is_not_is_named(sealed: bool, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny())
    if not sealed:  # as an older Tombola wrote it
        write_json(run.path / "environment.json", run.environment)
    path = run.path / "environment.json"
    path.write_text(path.read_text().replace("r1/L02/ticket/0", "r1/L02/tickeu/0"))
    shutil.rmtree(run.folder(Cell(1, 2, "ticket", 0)))
    said = "is damaged" if sealed else "a stack holds r1/L02/tickeu/0, which the study does not draw"
    with pytest.raises(UserError, match=re.escape(f"{path}: {said}")):
        run_tiny(tmp_path, tiny())
