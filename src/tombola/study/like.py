"""The layers of another ticket, read from its file once: a study does not rest on a file that may change."""

from __future__ import annotations

from pathlib import Path

from tombola.lottery import Ticket
from tombola.masks import LIKE, Mask, allocation_like


def with_ticket_read(allocation: str) -> str:
    """The name of an allocation; where it is `like:` and a path, with the layers of the ticket there instead.

    The path is that of a cell folder or a ticket file, from the current folder. Raises UserError where there is none.
    """
    if not allocation.startswith(LIKE) or "=" in allocation:
        return allocation
    path = Path(allocation.removeprefix(LIKE))
    mask = Mask.load(path / "mask.safetensors") if path.is_dir() else Ticket.load(path).mask
    return allocation_like(mask)
