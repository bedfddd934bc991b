"""What is said of a ticket without torch is what the ticket itself says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support.study_kit import tiny
from tombola.errors import UserError
from tombola.files import write_tensors
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.runs.folder import Run
from tombola.runs.locate import open_ticket
from tombola.runs.ticket_facts import TicketFacts, ticket_facts


def assert_same(facts: TicketFacts, ticket: Ticket) -> None:
    assert facts.shapes == ticket.mask.shapes
    assert facts.alive == ticket.mask.counts()
    assert facts.density() == ticket.mask.density()
    assert all(facts.density(name) == ticket.mask.density(name) for name in ticket.mask)
    assert facts.held == tuple(ticket.held)
    assert facts.provenance == ticket.provenance


def test_of_cells_and_of_files(made: Run, tmp_path: Path) -> None:
    assert len(made.cells()) == len({*made.cells()}) > tiny().levels
    for cell in made.cells():
        ticket = open_ticket(made.folder(cell))
        assert_same(ticket_facts(made.folder(cell)), ticket)
        path = tmp_path / f"{cell.level}-{cell.arm}-{cell.replicate}.safetensors"
        Ticket(ticket.mask, ticket.start, None, ticket.provenance).save(path)
        assert_same(ticket_facts(path), Ticket.load(path))


def test_counts_by_hand(tmp_path: Path) -> None:
    bits = torch.tensor([[True, False, False], [True, True, False], [False, False, True]])
    path = tmp_path / "small.safetensors"
    Ticket(Mask({"w": bits}), None, None, {"seed": 3}).save(path)
    assert ticket_facts(path) == TicketFacts({"w": (3, 3)}, {"w": 4}, (), {"seed": 3})
    assert ticket_facts(path).density("w") == 4 / 9


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ticket_facts(tmp_path / "absent.safetensors")
    with pytest.raises(UserError, match="not a cell folder"):
        ticket_facts(tmp_path)
    path = tmp_path / "odd.safetensors"
    write_tensors(path, {"w": torch.zeros(2)})
    with pytest.raises(UserError, match="found no mask"):
        ticket_facts(path)
    too_many = torch.tensor([255, 255], dtype=torch.uint8)
    about = {"format": "tombola-ticket-1", "shapes": {"w": [3, 3]}, "provenance": {}}
    write_tensors(path, {"mask/w": too_many}, about)
    with pytest.raises(UserError, match=r"broken ticket \(2 bytes for 9 weights\)"):
        ticket_facts(path)
