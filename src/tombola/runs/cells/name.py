"""What cells are called."""

from __future__ import annotations

import re

from tombola.errors import UserError
from tombola.lottery.cell import Cell

CELL = re.compile(r"r(\d+)/L(\d+)/([^/]+)/(\d+)")


def cell_named(name: str) -> Cell:
    """The cell called `r0/L03/ticket/0`. Raises UserError for another name."""
    match = CELL.fullmatch(name)
    if not match:
        raise UserError(f"'{name}' is not the name of a cell (r0/L03/ticket/0)")
    return Cell(int(match[1]), int(match[2]), match[3], int(match[4]))
