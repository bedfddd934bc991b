"""`make bench` measures by turns, within its time, whatever a step takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import turns


class Machine:
    """A clock, and loops whose steps take a while on it."""

    def __init__(self) -> None:
        self.now = 0.0

    def side(self, step: float, networks: int = 1) -> turns.Side:
        def seconds(steps: int) -> float:
            self.now += steps * step
            return step / networks

        return seconds


@pytest.mark.parametrize(("ours", "theirs"), [(1e-4, 1e-3), (0.05, 0.4), (0.5, 0.9)])
def test_rounds_fit_the_time_and_give_the_ratio(ours: float, theirs: float) -> None:
    machine = Machine()
    found = turns.rounds(machine.side(ours), machine.side(theirs), 4.0)
    assert found["ratio"]["median"] == pytest.approx(theirs / ours)
    assert (found["this_us"], found["baseline_us"]) == pytest.approx((1e6 * ours, 1e6 * theirs))
    assert machine.now <= 4.0 + 1e-9
    assert 1 <= found["ratio"]["n"] <= turns.MOST_ROUNDS


def test_a_step_longer_than_the_time_is_taken_once_more() -> None:
    machine = Machine()
    assert turns.rounds(machine.side(3.0), machine.side(9.0), 1.0)["ratio"]["n"] == 1
    assert machine.now == 2 * 12


def test_a_stack_is_sized_by_what_it_takes_on_the_clock() -> None:
    machine = Machine()
    turns.rounds(machine.side(0.1, networks=10), machine.side(0.1), 2.0, each=10)
    assert machine.now <= 2.1


def test_time_is_shared_out_among_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    budget = turns.Budget.of(60, 3)
    assert budget.share() == 20
    budget.done, now[0] = 1, 140
    assert budget.share() == 10
    assert budget.place() == "[ 1/3  0:40 of 1.0 min]"
    now[0] = 161
    assert budget.share() < 0
