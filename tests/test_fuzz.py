"""Inputs that fuzzing found, one by one, and what counts as found; `make deep` makes up new ones."""

from __future__ import annotations

import json
import shutil
import sys
import time
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from fuzz import mutate, target
from fuzz.target import Target, found
from fuzz.targets import PLACES, named
from fuzz.trees import JSON, SAFETENSORS, TOML
from support.faults import FAULTS
from tombola.errors import UserError


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLACES)
def test_seeds_are_read_and_what_was_found_once_is_refused(name: str, tmp_path: Path) -> None:
    reader = named(name)
    path = tmp_path / reader.file
    for seed in reader.seeds():
        path.write_bytes(seed)
        assert found(reader, path) is None
    for file in sorted(FAULTS.glob(f"{name}-*")):
        shutil.copyfile(file, path)
        assert found(reader, path) is None, file.name


def test_every_input_that_was_found_is_of_a_target() -> None:
    assert {file.name.partition("-")[0] for file in FAULTS.iterdir()} <= set(PLACES)


@pytest.mark.filterwarnings("ignore")
def test_the_seeds_of_readers_of_whole_files_are_not_refused(tmp_path: Path) -> None:
    for name in ("cifar", "npz", "csv_table", "ticket", "checkpoint", "idx", "hugging_face"):
        path = tmp_path / named(name).file
        path.write_bytes(next(iter(named(name).seeds())))
        named(name).read(path)


@pytest.mark.parametrize(
    ("behaviour", "what"),
    [
        (lambda: None, None),
        (lambda: (_ for _ in ()).throw(UserError("a sentence")), None),
        (lambda: sys.exit(2), None),
        (lambda: sys.exit(1), "exit"),
        (lambda: {}["a"], "keyerror"),
        (lambda: (_ for _ in ()).throw(BaseException("a panic")), "baseexception"),
        (lambda: None, "memory"),
        (lambda: spin(0.2), "slow"),
    ],
)
def test_what_counts_as_found(
    behaviour: Any, what: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "SECONDS", 0.1)
    monkeypatch.setattr(target, "MEMORY", 32 << 20)
    peak = chain([0], repeat((64 << 20) * (what == "memory")))
    monkeypatch.setattr(target, "_most_memory", lambda: next(peak))
    seen = found(Target(lambda _: behaviour(), list, "file"), tmp_path)
    assert (seen and seen[0]) == what


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_trees_are_written_as_they_were_read() -> None:
    for name, tree in (("study", TOML), ("ticket", SAFETENSORS), ("cell", JSON)):
        for seed in list(named(name).seeds())[:4]:
            whole = tree.parse(seed)
            assert tree.parse(tree.write(whole)) == whole


def test_inputs_differ_and_are_as_long_as_they_may_be() -> None:
    seed = json.dumps({"a": {"b": [1, 2.5, "x"]}, "c": None}).encode()
    made = {mutate.of_trees(JSON)(seed, 60, each) for each in range(200)}
    assert len(made) > 50
    assert max(map(len, made)) <= 60
    assert mutate.of_trees(JSON)(seed, 60, 3) == mutate.of_trees(JSON)(seed, 60, 3)
