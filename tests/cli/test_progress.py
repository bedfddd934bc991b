"""What a run says of the time that is left: nothing before it was measured, then what the last minute says."""

from __future__ import annotations

import pytest

from tombola.cli.show.watcher import WINDOW, Pace, Watcher
from tombola.lottery.cell import Cell, Drawn


def test_no_time_before_a_measurement() -> None:
    pace = Pace()
    assert pace.left(100) is None
    pace.see(840, 10)  # 14 minutes in which an engine was compiled
    assert pace.left(100) is None
    pace.see(850, 30)  # 20 in 10 s, 70 are left
    assert pace.left(100) == 35


def test_the_last_minute_counts() -> None:
    pace = Pace()
    for second in range(0, 101, 10):
        pace.see(second, second)  # dense: one a second
    for second in range(110, 161, 10):
        pace.see(second, 100 + 5 * (second - 100))  # sparse: five a second
    assert WINDOW == 60
    assert pace.left(1000) == (1000 - 400) / 5  # nothing of the dense ones is left in it


def test_a_piece_that_is_longer_than_the_window_is_measured() -> None:
    pace = Pace()
    pace.see(0, 10)
    pace.see(600, 20)
    pace.see(1200, 30)
    assert pace.left(40) == 600


def test_the_watcher_leaves_out_the_first_piece(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("tombola.cli.show.watcher.time.monotonic", lambda: clock[0])
    cells = [Cell(0, 0, "ticket", 0)]
    with Watcher() as watcher:
        watcher.begin(1000, 0)
        for now, steps in ((0, 0), (840, 100), (860, 100), (880, 100)):
            clock[0] = now
            watcher.advance(steps, cells)
    assert capsys.readouterr().err.splitlines() == [
        "level 0: 10%",
        "level 0: 20%, about 3 min left",
        "level 0: 30%, about 2 min left",
    ]


def test_ladders_beside_the_run_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    ticket = Cell(0, 2, "ticket", 0)
    with Watcher() as watcher:
        watcher.begin(100, 0)
        for part in ("donors", "sources/fashion", ""):
            watcher.turn_to(part)
            watcher.landed([Drawn(ticket, "diverged", None, None)])
    told = [line.partition("(")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [
        "donors, r0/L02/ticket/0: diverged",
        "donors, level 2: 1 network trained ",
        "source fashion, r0/L02/ticket/0: diverged",
        "source fashion, level 2: 1 network trained ",
        "r0/L02/ticket/0: diverged",
        "level 2: 1 network trained ",
    ]


def test_pairs_of_a_comparison_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("tombola.cli.show.watcher.time.monotonic", lambda: clock[0])

    def stopped() -> None:
        with Watcher(resume=False) as watcher:
            for done in range(5):
                clock[0] = 20.0 * done
                watcher.compared(done, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert capsys.readouterr().err.splitlines() == [
        "comparing pairs: 25%, about 60 s left",
        "comparing pairs: 50%, about 40 s left",
        "comparing pairs: 75%, about 20 s left",
        "comparing pairs: 100%",
        "stopped",
    ]


def test_a_stack_of_many_arms_names_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher() as watcher:
        watcher.begin(100, 0)
        for names in ("abcd", "abcde"):
            watcher.landed([Drawn(Cell(0, 1, name, 0), "ok", None, None) for name in names])
    assert capsys.readouterr().err.splitlines() == [
        "level 1: 4 networks trained (a, b, c and d), 0%",
        "level 1: 5 networks trained (a, b, c and 2 other arms), 0%",
    ]
