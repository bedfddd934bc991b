"""Ladders that end, replicates that go on, and levels that are remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from support.lottery_parts import (
    CONTROLS,
    GLOBAL,
    Script,
    lenet,
    lottery,
    play,
    same,
    seeds,
    shifted,
    tickets,
)
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Begin, Cell, Drawn
from tombola.lottery.draw import draw
from tombola.lottery.lottery import Lottery
from tombola.lottery.modes import Mode
from tombola.models.state import State
from tombola.seeds import Seeds
from tombola.training.start import Start

every_way = pytest.mark.parametrize("mode", ["iterative", "one-shot"])


def tiny_layer(what: Lottery, r: int) -> State:
    """An end whose fc2 is so small that global pruning takes all of it."""
    end = shifted(what.architecture.initial(Seeds.replicate(0, r).stream("init")), 99, r)
    return end | {"fc2.weight": end["fc2.weight"] * 1e-9}


def test_a_collapsed_ladder_ends_and_the_others_go_on() -> None:
    """fc2 has 200 of 350 weights; 30% of 350 go, then 30% of 245, so that level 3 (350 -> 120) is without it."""
    what = lottery(lenet(), GLOBAL, levels=5, arms=lambda level: [("random-mask-global", 1)])
    ends = {(0, level): tiny_layer(what, 0) for level in range(6)}
    script, drawn = play(what, (0, 1), ends=ends)
    status = {cell: result.status for each in drawn for cell, result in each.items()}
    assert [status.get(Cell(0, level, TICKET, 0)) for level in range(6)] == [
        "ok", "ok", "ok", "collapsed", None, None,
    ]  # fmt: skip
    assert [status.get(Cell(1, level, TICKET, 0)) for level in range(6)] == ["ok"] * 6
    gone = drawn[3][Cell(0, 3, TICKET, 0)]
    assert gone.trained is None
    assert gone.start is not None
    assert gone.start.mask.empty_layers() == ["fc2.weight"]
    assert Cell(0, 3, TICKET, 0) not in script.starts  # it was never trained
    # The control that spreads its weights over all layers is trained all the same.
    assert status[Cell(0, 3, "random-mask-global", 0)] == "ok"
    assert not any(cell.replicate == 0 for each in script.asked[4:] for cell in each)
    assert len(drawn) == 6


@pytest.mark.parametrize("level", [0, 2])
@every_way
def test_a_diverged_ladder_ends_and_the_others_go_on(level: int, mode: Mode) -> None:
    what = lottery(lenet(), levels=4, mode=mode)
    nan = {
        name: torch.full_like(t, torch.nan)
        for name, t in what.architecture.initial(np.random.default_rng(0)).items()
    }
    script, drawn = play(what, (0, 1), diverged=[(0, level)], ends={(0, level): nan})
    found = [[(c.replicate, result.status) for c, result in each.items()] for each in drawn]
    both, last = [(0, "ok"), (1, "ok")], [(0, "diverged"), (1, "ok")]
    assert found == [both] * level + [last] + [[(1, "ok")]] * (4 - level)
    undisturbed, _ = play(what, (0, 1))
    for a, b in zip(tickets(script, 1), tickets(undisturbed, 1), strict=True):
        assert a.mask == b.mask
        assert same(a.state, b.state)


def test_a_control_that_diverges_ends_nothing() -> None:
    what = lottery(lenet(), levels=2, arms=lambda level: [("reinit", 1)])

    class Wild(Script):
        def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
            drawn = dict(super().train(cells, begin))
            for cell, result in drawn.items():
                if cell.arm == "reinit":
                    drawn[cell] = Drawn(cell, "diverged", result.start, result.trained)
            return drawn

    drawn = list(draw(what, seeds(0), Wild().train))
    assert [len(each) for each in drawn] == [1, 2, 2]


def test_ladders_that_have_all_ended_leave_empty_levels() -> None:
    script, drawn = play(lottery(lenet(), levels=3), diverged=[(0, 1)])
    assert [len(each) for each in drawn] == [1, 1, 0, 0]
    assert all(cell.level <= 1 for cell in script.starts)


# --- what is remembered ------------------------------------------------------------------------------------


def test_a_start_is_only_made_for_a_cell_that_is_trained() -> None:
    """A runner that remembers a level never asks for its starts, and the ladder goes on to the same masks."""
    what = lottery(lenet(), arms=lambda level: CONTROLS)
    first, drawn = play(what, (0, 1))
    known = [dict(each) for each in drawn]
    begun: list[Cell] = []
    again = Script()

    def remember(cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        level = cells[0].level

        def noted(cell: Cell) -> Start:
            begun.append(cell)
            return begin(cell)

        if level < 2:
            return {cell: Drawn(cell, "ok", None, known[level][cell].trained) for cell in cells}
        return again.train(cells, noted)

    list(draw(what, seeds(0, 1), remember))
    assert {cell.level for cell in begun} == {2, 3}
    for cell, start in again.starts.items():
        assert start.mask == first.starts[cell].mask
        assert same(start.state, first.starts[cell].state)


def test_levels_come_one_by_one() -> None:
    script = Script()
    levels = draw(lottery(lenet()), seeds(0), script.train)
    assert len(script.asked) == 0
    next(levels)
    assert len(script.asked) == 1
    next(levels)
    assert len(script.asked) == 2


@every_way
def test_a_replicate_does_not_depend_on_how_many_run(mode: Mode) -> None:
    what = lottery(lenet(), GLOBAL, arms=lambda level: CONTROLS, mode=mode)
    alone, _ = play(what, (1,))
    company, _ = play(what, (0, 1, 2))
    mine = {cell: start for cell, start in company.starts.items() if cell.replicate == 1}
    assert mine.keys() == alone.starts.keys()
    for cell, start in alone.starts.items():
        assert start.mask == mine[cell].mask
        assert same(start.state, mine[cell].state)
    others = [start for cell, start in company.starts.items() if cell.replicate != 1 and cell.level == 2]
    assert all(start.mask != mine[Cell(1, 2, TICKET, 0)].mask for start in others)
