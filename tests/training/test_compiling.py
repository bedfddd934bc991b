"""Compiling is said once, is not counted as training, and reading from disk is none."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import event

from tombola.errors import Notice
from tombola.runs import environment as machine
from tombola.training.engines import sparse
from tombola.training.engines.compiled import conv_kernels, sparse_kernels
from tombola.training.engines.compiled.compiling import Compiling, listen
from tombola.training.engines.sparse import seconds_compiling

MODULE = """
import numba

@numba.njit(cache=True)
def inner(x):
    return x + 1

@numba.njit(cache=True)
def outer(x):
    return 2 * inner(x)
"""


@pytest.fixture
def listening() -> Iterator[Callable[[str], Compiling]]:
    """Listens to a module for the length of a test."""
    found: list[Compiling] = []

    def begin(module: str) -> Compiling:
        found.append(listen(module, "compiling this, once"))
        return found[-1]

    yield begin
    for listener in found:
        event.unregister("numba:compile", listener)


def test_compiling_is_said_once_and_reading_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: Callable[[str], Compiling]
) -> None:
    (tmp_path / "compiled_here.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("compiled_here")
    other, first = listening("elsewhere"), listening("compiled_here")
    with pytest.warns(Notice, match="compiling this, once") as said:
        assert module.outer(3) == 8
    assert len(said) == 1  # two functions, one sentence
    assert first.seconds > 0
    spent, second = first.seconds, listening("compiled_here")
    with warnings.catch_warnings(action="error"):
        assert importlib.reload(module).outer(3) == 8  # from disk
    assert (first.seconds, second.seconds, other.seconds) == (spent, 0, 0)
    with pytest.warns(Notice):
        assert module.outer(3.0) == 8.0  # other types are compiled anew
    assert second.seconds > 0


def test_time_within_time_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dispatcher:
        py_func = sparse_kernels.advance

    found = event.Event("numba:compile", event.EventStatus.START, {"dispatcher": Dispatcher})
    clock = iter([10.0, 12.0, 15.0, 100.0, 101.0])
    monkeypatch.setattr("tombola.training.engines.compiled.compiling.time.monotonic", lambda: next(clock))
    listener = Compiling(sparse_kernels.advance.__module__, "compiling this, once")
    with pytest.warns(Notice):
        listener.on_start(found)  # at 10
    listener.on_start(found)  # at 12, for the sake of the first
    listener.on_end(found)
    listener.on_end(found)  # at 15
    listener.on_start(found)  # at 100
    listener.on_end(found)  # at 101
    assert listener.seconds == 5 + 1


def test_the_clock_of_trainings_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(sparse, "seconds_compiling", lambda: 30.0)
    assert machine.training_clock() == 70


@pytest.mark.parametrize("kernels", [sparse_kernels, conv_kernels])
def test_the_sparse_engines_are_listened_to(kernels: ModuleType) -> None:
    assert kernels.advance.__module__.startswith(f"{sparse._compiling.module}.")
    assert seconds_compiling() == sparse._compiling.seconds


@pytest.mark.slow
def test_the_first_training_says_that_it_compiles(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = "import sys; from tombola.cli import main; main()"
    said = []
    for name in ("a", "b"):
        words = [
            "train",
            "lenet-12-8",
            "--data",
            "digits",
            "--set",
            "iterations=20",
            "--out",
            f"{name}.safetensors",
        ]
        done = subprocess.run(
            [sys.executable, "-c", command, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.append(done.stderr)
    assert said == [
        "note: compiling the sparse engine for this machine, once; later trainings find it on disk\n",
        "",
    ]
