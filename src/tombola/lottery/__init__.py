"""The lottery: the loop that draws winning tickets, the arms trained beside them, rewinding, ticket files."""

from __future__ import annotations

from tombola.lottery.arms import ARMS, DEAD_ACTIONS, MASK_ACTIONS, TICKET, WEIGHT_ACTIONS, Arm, Scene
from tombola.lottery.cell import Begin, Cell, Drawn, Status, Train, level_cells, train_cells
from tombola.lottery.draw import Lottery, draw
from tombola.lottery.rewind import check_rewind, rewind_point
from tombola.lottery.ticket import Ticket

__all__ = [
    "ARMS",
    "DEAD_ACTIONS",
    "MASK_ACTIONS",
    "TICKET",
    "WEIGHT_ACTIONS",
    "Arm",
    "Begin",
    "Cell",
    "Drawn",
    "Lottery",
    "Scene",
    "Status",
    "Ticket",
    "Train",
    "check_rewind",
    "draw",
    "level_cells",
    "rewind_point",
    "train_cells",
]
