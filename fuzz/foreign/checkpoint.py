"""What torch.save wrote: state dicts, wrapped, sparse and with masks beside their weights."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from fuzz.target import Target
from tombola.lottery.mask_files import read_mask_file

WEIGHT = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])


def read(path: Path) -> None:
    """The mask in it."""
    read_mask_file(path)


def seeds() -> list[bytes]:
    """Each kind, in the new format and the old."""
    beside = {"fc.weight_orig": WEIGHT, "fc.weight_mask": (WEIGHT != 0).float()}
    kinds = [
        {"fc.weight": WEIGHT, "fc.bias": torch.zeros(2)},
        {"epoch": 3, "state_dict": beside},
        {"module.fc.weight": WEIGHT.to_sparse()},
        {"fc.weight": WEIGHT.half(), "n": torch.tensor(1)},
    ]
    return [_saved(each, new) for each in kinds for new in (True, False)]


def _saved(state: object, new: bool) -> bytes:
    torch.save(state, file := io.BytesIO(), _use_new_zipfile_serialization=new)
    return file.getvalue()


TARGET = Target(read, seeds, "fuzz.pt")
