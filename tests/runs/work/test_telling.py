"""Progress of several workers, told as if there were one."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import Notes
from tombola.lottery.cell import Cell, Drawn
from tombola.runs.presence import Presence
from tombola.runs.work import telling
from tombola.runs.work.telling import Heard, Told

DENSE = [Cell(0, 0, "ticket", 0), Cell(1, 0, "ticket", 0)]
NEXT = [Cell(0, 1, "ticket", 0)]


@pytest.fixture(autouse=True)
def every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "SELDOM", 0.0)


def landed(cells: list[Cell]) -> list[Drawn]:
    return [Drawn(cell, "ok", None, None) for cell in cells]


def test_steps_and_cells_of_all_workers_are_heard_once(tmp_path: Path) -> None:
    notes, times = Notes(), 0

    def told() -> None:
        nonlocal times
        times += 1

    with Presence(tmp_path) as one, Presence(tmp_path) as two:
        heard = Heard(tmp_path, notes)
        here, there, donors = Told(one, told, ""), Told(two, told, ""), Told(two, told, "donors")
        here.advance(10, DENSE)
        there.advance(4, NEXT)
        heard.listen()
        heard.listen()
        assert notes.advanced == 14
        there.advance(6, NEXT)
        donors.advance(10, DENSE)  # cells of the same names, in another folder
        heard.listen()
        assert notes.advanced == 30
        here.landed(landed(DENSE))
        donors.landed(landed(DENSE))
        heard.listen()
        assert notes.landed_cells == [*DENSE, *DENSE]
        assert (notes.advanced, heard.stacks) == (30, 2)
        assert times == 8


def test_a_stack_that_is_trained_again_counts_once(tmp_path: Path) -> None:
    notes = Notes()
    with Presence(tmp_path) as lost, Presence(tmp_path) as other:
        heard = Heard(tmp_path, notes)
        Told(lost, lambda: None, "").advance(15, NEXT)
        heard.listen()
        again = Told(other, lambda: None, "")
        for _ in range(4):
            again.advance(5, NEXT)
            heard.listen()
        again.landed(landed(NEXT))
        again.landed(landed(NEXT))
        heard.listen()
    assert notes.advanced == 20
    assert notes.landed_cells == NEXT


def test_half_a_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    notes = Notes()
    with Presence(tmp_path) as worker:
        heard = Heard(tmp_path, notes)
        Told(worker, lambda: None, "").advance(15, NEXT)
        (log,) = (tmp_path / ".work").glob("*.log")
        whole = log.read_bytes()
        log.write_bytes(whole[:-5])
        heard.listen()
        assert notes.advanced == 0
        log.write_bytes(whole)
        heard.listen()
    assert notes.advanced == 15


def test_what_was_said_before_is_passed_over(tmp_path: Path) -> None:
    notes = Notes()
    with Presence(tmp_path) as worker:
        told, heard = Told(worker, lambda: None, ""), Heard(tmp_path, notes)
        told.advance(5, DENSE)
        heard.skip()
        told.advance(5, DENSE)
        heard.listen()
    assert notes.advanced == 10, "a stack that is on its way counts from its beginning"
