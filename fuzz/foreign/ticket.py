"""Tickets, masks and state dicts in safetensors files, and what is asked of them without their weights."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from fuzz.target import Target
from fuzz.trees import SAFETENSORS
from tombola.errors import UserError
from tombola.files import write_tensors
from tombola.lottery.mask_files import ticket_in
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.runs.ticket_facts import ticket_facts

MASK = Mask({"fc1.weight": torch.tensor([[True, False, True], [False, True, False]])})
STATE = {"fc1.weight": torch.ones(2, 3), "fc1.bias": torch.zeros(2)}


def read(path: Path) -> None:
    """Read its facts, and all of it; what is read is exported."""
    with suppress(UserError):
        ticket_facts(path)
    ticket = ticket_in(path)
    for which in ticket.held:
        ticket.export("torch-prune", which)  # type: ignore[arg-type]
    ticket._repr_html_()


def seeds() -> list[bytes]:
    """A ticket, a mask, and checkpoints with and without masks beside weights."""
    folder = Path(tempfile.mkdtemp())
    keys = {name: name for name in STATE}
    about = {"model": {"name": "lenet-3-2"}, "scores": {"early_stop_test_accuracy": 0.5}}
    Ticket(MASK, STATE, STATE, about, keys, STATE).save(folder / "ticket.safetensors")
    MASK.save(folder / "mask.safetensors")
    pruned = {"fc1.weight_orig": STATE["fc1.weight"], "fc1.weight_mask": MASK["fc1.weight"].float()}
    write_tensors(folder / "pruned.safetensors", pruned)
    write_tensors(folder / "zeros.safetensors", MASK.apply(STATE))
    return [file.read_bytes() for file in sorted(folder.iterdir())]


TARGET = Target(read, seeds, "fuzz.safetensors", SAFETENSORS)
