"""The lottery: the loop that draws winning tickets, the arms trained beside them, rewinding, ticket files."""

from __future__ import annotations

from tombola.lottery.arms import ARMS, CONTINUED, TICKET, Arm
from tombola.lottery.cell import Begin, Cell, Drawn, Status, Train, level_cells, train_cells
from tombola.lottery.dead_actions import DEAD_ACTIONS
from tombola.lottery.draw import draw
from tombola.lottery.lottery import MODES, Lottery, Mode
from tombola.lottery.mask_actions import MASK_ACTIONS, rule_of
from tombola.lottery.rewind import REWINDS, After, check_rewind, rewind_point
from tombola.lottery.scene import Actions, Rung, Scene, Trait
from tombola.lottery.ticket import Ticket
from tombola.lottery.weight_actions import WEIGHT_ACTIONS

__all__ = [
    "ARMS",
    "CONTINUED",
    "DEAD_ACTIONS",
    "MASK_ACTIONS",
    "MODES",
    "REWINDS",
    "TICKET",
    "WEIGHT_ACTIONS",
    "Actions",
    "After",
    "Arm",
    "Begin",
    "Cell",
    "Drawn",
    "Lottery",
    "Mode",
    "Rung",
    "Scene",
    "Status",
    "Ticket",
    "Train",
    "Trait",
    "check_rewind",
    "draw",
    "level_cells",
    "rewind_point",
    "rule_of",
    "train_cells",
]
