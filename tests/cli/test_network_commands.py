"""train, evaluate, ticket show|export|apply."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune as torch_prune

from support.program import Tombola

SHORT = ("--set", "iterations=60", "--set", "evaluate_every=20")


def test_same_seed_same_file(tombola: Tombola) -> None:
    for name in ("a", "b"):
        assert (
            tombola("train", "lenet-20-10", "--data", "digits", "--out", f"{name}.safetensors", *SHORT).code
            == 0
        )
    other = ("--seed", "1", "--out", "c.safetensors", *SHORT)
    assert tombola("train", "lenet-20-10", "--data", "digits", *other).code == 0
    files = [Path(f"{name}.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_an_early_stop_at_the_end_is_said(tombola: Tombola) -> None:
    """60 iterations are too few for lenet-20-10."""
    made = ("train", "lenet-20-10", "--data", "digits", *SHORT)
    said = tombola(*made, "--out", "net.safetensors")
    assert "early stop at iteration          60 of 60\n" in said.out
    assert "(the last evaluation: the least validation loss may lie beyond the end of training)" in said.out
    assert json.loads(tombola(*made, "--out", "b.safetensors", "--json").out)["early_stop_at_end"] is True


def test_evaluate_measures_what_train_printed(tombola: Tombola) -> None:
    said = tombola(
        "train", "lenet-20-10", "--data", "digits", "--seed", "3", "--out", "net.safetensors", *SHORT
    )
    printed = re.search(r"at the end\s+([\d.]+)%", said.out)
    assert printed
    measured = json.loads(tombola("evaluate", "net.safetensors", "--data", "digits", "--json").out)
    assert f"{100 * measured['test_accuracy']:.2f}" == printed[1]
    assert measured["examples"] == 360


def test_evaluate_takes_a_cell_folder(tombola: Tombola, done: Path) -> None:
    cell = done / "cells/r1/L02/ticket/0"
    measured = json.loads(tombola("evaluate", cell, "--data", "digits", "--json").out)
    assert measured["test_accuracy"] == json.loads((cell / "cell.json").read_text())["final_test_accuracy"]


def test_show_counts(tombola: Tombola, done: Path) -> None:
    shown = json.loads(tombola("ticket", "show", done / "cells/r0/L01/ticket/0", "--json").out)
    assert {name: layer["alive"] for name, layer in shown["layers"].items()} == {
        "fc1.weight": 768 - 154,
        "fc2.weight": 96 - 19,
        "out.weight": 80 - 16,
    }
    assert "fc1.weight" in tombola("ticket", "show", done / "cells/r0/L01/ticket/0").out


def test_export_dense_has_zeros_and_the_start_weights(tombola: Tombola, done: Path) -> None:
    cell = done / "cells/r0/L02/ticket/0"
    assert tombola("ticket", "export", cell, "--out", "dense.safetensors").code == 0
    state = load_file("dense.safetensors")
    record = json.loads((cell / "cell.json").read_text())
    initial = load_file(done / "starts" / f"{record['start']['digest']}.safetensors")
    for name, alive in record["alive"].items():
        living = state[name] != 0
        assert int(living.sum()) == alive
        assert torch.equal(state[name][living], initial[name][living])


def test_export_loads_into_torch_prune(tombola: Tombola, done: Path) -> None:
    cell = done / "cells/r0/L02/ticket/0"
    said = tombola(
        "ticket", "export", cell, "--form", "torch-prune", "--weights", "end", "--out", "pruned.pt"
    )
    assert said.code == 0
    network = nn.Sequential()
    for name, (i, o) in {"fc1": (64, 12), "fc2": (12, 8), "out": (8, 10)}.items():
        network.add_module(name, nn.Linear(i, o))
        torch_prune.identity(network[-1], "weight")
    network.load_state_dict(torch.load("pruned.pt", weights_only=True))
    record = json.loads((cell / "cell.json").read_text())
    assert int(network.fc1.weight_mask.sum()) == record["alive"]["fc1.weight"]


def test_apply_masks_a_foreign_checkpoint(tombola: Tombola, done: Path) -> None:
    foreign = {f"module.{n}": torch.ones(s) for n, s in (("fc1.weight", (12, 64)), ("fc2.weight", (8, 12)))}
    foreign |= {"module.out.weight": torch.ones(10, 8), "module.other": torch.ones(3)}
    torch.save(foreign, "foreign.pt")
    cell = done / "cells/r0/L02/ticket/0"
    assert tombola("ticket", "apply", cell, "--to", "foreign.pt", "--out", "masked.safetensors").code == 0
    masked = load_file("masked.safetensors")
    alive = json.loads((cell / "cell.json").read_text())["alive"]
    assert {n: int(masked[f"module.{n}"].sum()) for n in alive} == alive
    assert masked["module.other"].sum() == 3
