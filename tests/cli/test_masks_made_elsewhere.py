"""Masks made elsewhere on the command line: shown, compared, put on checkpoints, and trained as an arm."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from support.program import Tombola
from tombola.lottery.mask_files import read_mask_file
from tombola.runs.folder import Run


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A checkpoint of lenet-12-8 on digits, pruned by torch and trained in parallel."""
    torch.manual_seed(0)
    module = nn.Module()
    for name, sizes in (("fc1", (64, 12)), ("fc2", (12, 8)), ("out", (8, 10))):
        layer = nn.Linear(*sizes)
        if name != "out":
            prune.random_unstructured(layer, "weight", 0.5)
        setattr(module, name, layer)
    path = tmp_path / "theirs.pt"
    state = {f"module.{key}": value for key, value in module.state_dict().items()}
    torch.save({"epoch": 9, "net": state}, path)
    return path


@pytest.mark.filterwarnings("ignore::tombola.errors.Notice")
def test_it_is_shown_compared_and_applied(theirs: Path, done: Path, tombola: Tombola) -> None:
    shown = tombola("ticket", "show", theirs)
    assert shown.code == 0, shown.err
    assert "384" in shown.out, "half of 64 x 12 live"
    assert "weights held: end" in shown.out
    ticket = done / "cells/r0/L01/ticket/0"
    assert tombola("ticket", "export", ticket, "--weights", "end", "--out", "dense.pt").code == 0
    said = tombola("ticket", "apply", theirs, "--to", "dense.pt", "--out", "masked.pt")
    assert said.code == 0, said.err
    mask = read_mask_file(theirs).mask
    masked = torch.load("masked.pt")
    assert set(mask) == {"fc1.weight", "fc2.weight"}
    assert all(not masked[name][~living].any() for name, living in mask.items())
    said = tombola("compare", theirs, "theirs-too.pt", "--measures", "jaccard")
    assert "theirs-too.pt" in said.err
    whole = torch.load("dense.pt")
    torch.save({name: whole[name] for name in mask}, "theirs-too.pt")
    said = tombola("compare", theirs, "theirs-too.pt", "--measures", "jaccard", "--all")
    assert said.code == 0, said.err
    assert "jaccard" in said.out


def test_it_is_trained_as_an_arm(theirs: Path, study_file: Path, tombola: Tombola) -> None:
    study_file.write_text(
        study_file.read_text() + '[[arms]]\nname = "theirs"\nmask = "mask:theirs.pt"\nlevels = [1]\n'
    )
    said = tombola("run", study_file, "--until", "training")
    assert said.code == 0, said.err
    run = Run(next(Path("runs").glob("tiny-*")))
    [stored] = [
        arm for arm in tomllib.loads((run.path / "study.toml").read_text())["arms"] if arm["name"] == "theirs"
    ]
    assert stored["mask"].startswith("mask:theirs.pt@")
    for cell in run.cells():
        if cell.arm == "theirs":
            mask = run.mask(cell)
            assert {name: mask.count(name) for name in mask} == {
                "fc1.weight": 384,
                "fc2.weight": 48,
                "out.weight": 80,
            }
    theirs.unlink()
    assert tombola("results", "tiny").code == 0, "reading it needs no file"
    assert tombola("report", "tiny").code == 0


def test_another_mask_in_its_place_is_refused(theirs: Path, study_file: Path, tombola: Tombola) -> None:
    text = study_file.read_text() + '[[arms]]\nname = "theirs"\nmask = "mask:theirs.pt"\n'
    study_file.write_text(text)
    assert tombola("run", study_file, "--set", "levels=1", "--until", "training").code == 0
    torch.save({"fc1.weight_mask": torch.eye(12, 64).bool()}, theirs)
    said = tombola("run", study_file, "--until", "training")
    assert (said.code, "give it another name" in said.err) == (2, True), said.err


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("mask:none.pt", "none.pt: no such file"),
        ("mask:", "mask action 'mask:' has no path; expected 'mask:FILE'"),
        (
            "mask:theirs.pt",
            "theirs.pt: its mask of 'fc1.weight' has shape (12, 64), the network's weight (30, 64)",
        ),
    ],
)
def test_one_that_does_not_fit_is_named(
    mask: str, said: str, theirs: Path, study_file: Path, tombola: Tombola
) -> None:
    study_file.write_text(study_file.read_text() + f'[[arms]]\nname = "theirs"\nmask = "{mask}"\n')
    found = tombola("run", study_file, "--until", "training", "--set", "model.name=lenet-30-8")
    assert (found.code, said in found.err) == (2, True), found.err
