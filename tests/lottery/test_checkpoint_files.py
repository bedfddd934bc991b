"""Checkpoints of other programs: read without executing anything, written in the form their name says."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from support.lottery_parts import lenet, same
from tombola.errors import UserError
from tombola.lottery.checkpoint import read_checkpoint, write_checkpoint

STATE = {
    "fc.weight": torch.arange(6.0).view(2, 3),
    "fc.bias": torch.tensor([-0.0, 1e-45]),
    "n": torch.tensor(3),
}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "deep/w.pt"])
def test_what_is_written_is_read_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / name, STATE)
    assert same(read_checkpoint(tmp_path / name), STATE)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_the_same_state_makes_the_same_file(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_checkpoint(tmp_path / folder / name, STATE)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", ["w.bin", "w", "w.npz", "w.pt.gz"])
def test_another_ending_is_refused_and_nothing_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a name ending in \.safetensors, \.pt or \.pth"):
        write_checkpoint(tmp_path / name, STATE)
    assert list(tmp_path.iterdir()) == []


WRAPPED = {
    "plain": STATE,
    "ordered": OrderedDict(STATE),
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": OrderedDict(STATE), "lr": 0.1},
    "both": {"state_dict": {"model": STATE}},
    "model_state_dict": {
        "epoch": 3,
        "model_state_dict": STATE,
        "optimizer_state_dict": {"state": {}, "lr": 0.1},
    },
    "net": {"net": STATE, "acc": 91.5},
    "a name of one's own": {"student": STATE, "config": {"width": 3}, "step": 7},
}


@pytest.mark.parametrize("what", WRAPPED.values(), ids=WRAPPED.keys())
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_in_its_wrapping(what: dict, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(what, path, _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(path), STATE)


def test_parameters_are_tensors(tmp_path: Path) -> None:
    module = lenet().build()
    torch.save(dict(module.named_parameters()), tmp_path / "w.pt")
    assert same(read_checkpoint(tmp_path / "w.pt"), dict(module.state_dict()))


class Bomb:
    """Unpickled by an ordinary `pickle.load`, it would make a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("how", ["pickle", "zip", "legacy", "inside a state dict"])
def test_nothing_in_a_checkpoint_is_executed(how: str, tmp_path: Path) -> None:
    path, place = tmp_path / "w.pt", tmp_path / "executed"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(place)))
    elif how == "inside a state dict":
        torch.save({**STATE, "bomb": Bomb(place)}, path)
    else:
        torch.save(Bomb(place), path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(UserError, match=r"w\.pt: not a checkpoint that torch\.load reads safely") as refused:
        read_checkpoint(path)
    assert "\n" not in str(refused.value)
    assert not place.exists()


def saved(what: object) -> Callable[[Path], object]:
    return lambda path: torch.save(what, path)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


NOT_CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("these are not weights"),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "a folder": lambda path: path.mkdir(),
    "another zip": zipped,
    "a pickled list": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "a whole module": saved(nn.Linear(2, 2)),
    "a tensor": saved(torch.ones(3)),
    "a list": saved([torch.ones(3)]),
    "numbers": saved({"a": 1.0}),
    "tensors without names": saved({0: torch.ones(3)}),
    "a mixture": saved({"a": torch.ones(3), "epoch": 3}),
    "wrapped numbers": saved({"state_dict": {"a": 1}}),
}


@pytest.mark.parametrize("make", NOT_CHECKPOINTS.values(), ids=NOT_CHECKPOINTS.keys())
def test_what_is_no_checkpoint_is_named(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    make(path)
    with pytest.raises(UserError) as refused:
        read_checkpoint(path)
    assert str(path) in str(refused.value)


def test_a_broken_safetensors_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x08")
    with pytest.raises(UserError, match=r"w\.safetensors: not a readable safetensors file"):
        read_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_are_refused_or_read_but_never_a_traceback(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=not legacy)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(150):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            damaged = damaged[: int(rng.integers(len(whole)))]
        else:
            for place in rng.integers(0, len(whole) if trial % 2 else min(200, len(whole)), 5):
                damaged[place] = int(rng.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            read_checkpoint(path)
        except UserError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (
            torch.sparse_coo_tensor(
                torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (1 << 16, 1 << 16), check_invariants=True
            ),
            r"'w' is sparse, of shape \(65536, 65536\); expected at most 1,073,741,824 numbers",
        ),
        (torch.empty(3, device="meta"), "'w' is a tensor of kind meta; expected plain, dense numbers"),
        (
            torch.ones(1).expand(1 << 20, 1 << 20),
            r"'w' is of shape \(1048576, 1048576\), and holds fewer numbers than that",
        ),
    ],
)
def test_a_tensor_without_a_number_for_each_place_is_refused(
    tensor: torch.Tensor, sentence: str, tmp_path: Path
) -> None:
    torch.save({"w": tensor}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=rf"w\.pt: {sentence}"):
        read_checkpoint(tmp_path / "w.pt")
