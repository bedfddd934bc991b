"""What a ticket is, without its weights and without waiting for torch: layers, what it holds, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tombola.errors import UserError
from tombola.files import read_arrays
from tombola.lottery.ticket import is_ticket
from tombola.runs.locate import cell_at


@dataclass(frozen=True)
class TicketFacts:
    """Masked tensor -> its shape, and how many of its weights live; which weights (start, end) the ticket holds."""

    shapes: Mapping[str, tuple[int, ...]]
    alive: Mapping[str, int]
    held: tuple[str, ...]
    provenance: Mapping[str, Any]

    def density(self, name: str | None = None) -> float:
        """The fraction of a tensor, or of all, that lives: 0..1 (0 where there are no weights at all)."""
        names = self.shapes if name is None else [name]
        size = sum(prod(self.shapes[each]) for each in names)
        return sum(self.alive[each] for each in names) / max(size, 1)


def ticket_facts(path: Path) -> TicketFacts:
    """The facts of the ticket in a cell folder of a run, or in a `.safetensors` file. Raises UserError for anything
    else, and for a cell that is no ticket."""
    if path.is_dir():
        run, cell = cell_at(path)
        record, provenance = run.record(cell), run.provenance(cell)
        bits, _, metadata = read_arrays(run.file(cell, "mask.safetensors"))
        kept = run.keeps_weights(cell)
        there = {
            "start": record.start is not None,
            "end": kept,
            "best": kept and cell.arm != run.study.search_arm,
        }
        held = tuple(which for which, kept in there.items() if kept)
        return _facts(path, bits, metadata, held, provenance)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.suffix != ".safetensors" or not is_ticket(path):
        return _facts_elsewhere(path)
    masks, names, metadata = read_arrays(path, "mask/")
    started = any(name.startswith("start/") for name in names)
    ended = any(not name.startswith(("start/", "mask/", "best/")) for name in names)
    best = any(name.startswith("best/") for name in names)
    held = (*(["start"] if started else []), *(["end"] if ended else []), *(["best"] if best else []))
    return _facts(path, masks, metadata, held, metadata.get("provenance"))


def _facts_elsewhere(path: Path) -> TicketFacts:
    """The facts of a mask made elsewhere."""
    from tombola.lottery.mask_files import ticket_in  # here: it reads with torch

    ticket = ticket_in(path)
    alive = {name: ticket.mask.count(name) for name in ticket.mask}
    return TicketFacts(ticket.mask.shapes, alive, tuple(ticket.held), ticket.provenance)


def _facts(
    path: Path, masks: Mapping[str, Any], metadata: Any, held: tuple[str, ...], provenance: Any
) -> TicketFacts:
    """The facts of packed masks; a UserError for bits that are not those of the shapes."""
    try:
        shapes = {name: tuple(shape) for name, shape in sorted(metadata["shapes"].items())}
        alive = {name: _living(masks[name], prod(shape)) for name, shape in shapes.items()}
        return TicketFacts(shapes, alive, held, dict(provenance))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise UserError(f"{path}: a broken ticket ({problem})") from None


def _living(packed: Any, size: int) -> int:
    """How many of so many packed bits are set; none is beyond them."""
    bits = np.unpackbits(packed, bitorder="little")
    if len(packed) != (size + 7) // 8 or bits[size:].any():
        raise ValueError(f"{len(packed)} bytes for {size} weights")
    return int(bits.sum())
