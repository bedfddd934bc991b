"""Arms with ladders of their own: beside the ticket's, each draw of such an arm finds its masks for itself."""

from __future__ import annotations

from collections.abc import Mapping

from tombola.lottery.arms import Arm
from tombola.lottery.cell import Begin, Cell, Drawn
from tombola.lottery.scene import Rung

Ladder = tuple[int, str, int]
"""Replicate, arm and draw."""


class OwnLadders:
    """The ladders of a lottery's arms: of each, the network of the level before."""

    def __init__(self, treatments: Mapping[str, Arm]) -> None:
        self._arms = {name for name, arm in treatments.items() if "ladder" in arm.traits}
        self._below: dict[Ladder, Rung] = {}
        self._ended: set[Ladder] = set()

    def goes_on(self, cell: Cell) -> bool:
        """False for a cell above which its arm's ladder has ended; the ladders of others do not mind."""
        return _ladder(cell) not in self._ended

    def below(self, cell: Cell, dense: Rung | None) -> Rung | None:
        """What the cell's mask is pruned from: its arm's network of the level before, at level 1 the dense one."""
        return dense if cell.level == 1 else self._below.get(_ladder(cell))

    def climb(self, drawn: Mapping[Cell, Drawn], begin: Begin, dense: Mapping[int, Rung]) -> None:
        """Note the networks of a level, for the next one. A network that collapsed or diverged ends its ladder.

        A cell that was remembered has no start, which is made again: with the same bits, since all that it rests on
        is as it was. Where weights were forgotten there is nothing to note, since nothing above is left to train.
        """
        for cell, result in drawn.items():
            if not cell.level or cell.arm not in self._arms:
                continue
            below = self.below(cell, dense.get(cell.replicate))
            if result.status != "ok":
                self._ended.add(_ladder(cell))
            elif result.trained is None or below is None:
                self._below.pop(_ladder(cell), None)
            else:
                start = result.start or begin(cell)
                self._below[_ladder(cell)] = Rung(start.mask, start.state, result.trained.end)


def _ladder(cell: Cell) -> Ladder:
    return cell.replicate, cell.arm, cell.draw
