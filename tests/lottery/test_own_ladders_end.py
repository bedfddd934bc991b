"""Ladders of arms that end, and ladders that are taken up again from what is remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from support.lottery_parts import LAYERWISE, Script, lenet, lottery, play, same, seeds
from tombola.lottery.cell import Begin, Cell, Drawn
from tombola.lottery.draw import draw
from tombola.lottery.lottery import Lottery
from tombola.training.start import Start


def drum(levels: int = 4) -> Lottery:
    return lottery(lenet(), LAYERWISE, levels=levels, arms=lambda level: [("fresh", 2), ("reinit", 1)])


class Wild(Script):
    """As the script says, but for one cell that diverges."""

    broken: Cell

    def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        drawn = dict(super().train(cells, begin))
        for cell, result in drawn.items():
            if cell == self.broken:
                drawn[cell] = Drawn(cell, "diverged", result.start, result.trained)
        return drawn


@pytest.mark.parametrize("level", [1, 2])
def test_only_the_ladder_that_diverged_ends(level: int) -> None:
    script = Wild()
    script.broken = Cell(1, level, "fresh", 0)
    found = [set(each) for each in draw(drum(), seeds(0, 1), script.train)]
    whole, _ = play(drum(), (0, 1))
    asked = {cell for each in found for cell in each}
    planned = {cell for each in whole.asked for cell in each}
    gone = {Cell(1, above, "fresh", 0) for above in range(level + 1, 5)}
    assert asked == planned - gone
    for cell in asked:
        assert script.starts[cell].mask == whole.starts[cell].mask
        assert same(script.starts[cell].state, whole.starts[cell].state)


def remembering(known: Mapping[Cell, Drawn], script: Script, begun: list[Cell], forget: Sequence[Cell] = ()):
    """A `Train` that remembers what is known, but not the weights of what it should forget."""

    def train(cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        def noted(cell: Cell) -> Start:
            begun.append(cell)
            return begin(cell)

        fresh = script.train([cell for cell in cells if cell not in known], noted)
        old = {
            cell: Drawn(cell, known[cell].status, None, None if cell in forget else known[cell].trained)
            for cell in cells
            if cell in known
        }
        return {cell: fresh[cell] if cell in fresh else old[cell] for cell in cells}

    return train


@pytest.mark.parametrize("upto", [0, 1, 2, 3])
def test_a_ladder_is_taken_up_where_it_was_left(upto: int) -> None:
    whole, drawn = play(drum(), (0, 1))
    known = {cell: result for each in drawn[: upto + 1] for cell, result in each.items()}
    again, begun = Script(), list[Cell]()
    list(draw(drum(), seeds(0, 1), remembering(known, again, begun)))
    assert {cell.level for cell in begun} == set(range(upto + 1, 5))
    for cell, start in again.starts.items():
        assert start.mask == whole.starts[cell].mask
        assert same(start.state, whole.starts[cell].state)


def test_a_draw_that_is_added_climbs_beside_the_one_that_is_there() -> None:
    whole, drawn = play(drum())
    added = [Cell(0, level, "fresh", 1) for level in range(1, 5)]
    known = {c: result for each in drawn for c, result in each.items() if c not in added}
    again, begun = Script(), list[Cell]()
    list(draw(drum(), seeds(0), remembering(known, again, begun)))
    assert begun == added
    assert all(again.starts[cell].mask == whole.starts[cell].mask for cell in added)


def test_weights_that_were_forgotten_are_not_missed_where_nothing_is_left_to_train() -> None:
    _, drawn = play(drum())
    known = {cell: result for each in drawn for cell, result in each.items()}
    forgotten = [Cell(0, 2, "fresh", 0)]
    begun = list[Cell]()
    found = list(draw(drum(), seeds(0), remembering(known, Script(), begun, forgotten)))
    assert [set(each) for each in found] == [set(each) for each in drawn]
    assert begun == []
