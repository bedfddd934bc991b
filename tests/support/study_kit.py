"""Tiny studies that train in a fraction of a second, and what the tests of study/ look at in their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.files import write_json
from tombola.lottery.cell import Cell, Drawn
from tombola.runs.folder import Run
from tombola.runs.progress import Silent
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.study.spec import Study

# What DESIGN (Store) allows to differ between equal runs; lock and index are no content.
PRIVATE = ("timing.json", "environment.json", ".lock", ".index")


def toy_data(seed: int = 0, n: int = 90) -> Dataset:
    """Three noisy clouds in six dimensions: easy to learn, small enough to train on in no time."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 6)) * 2

    def part(count: int) -> tuple[Any, Any]:
        labels = np.arange(count) % 3
        return centres[labels] + rng.normal(size=(count, 6)), labels

    return from_arrays(part(n), part(45))


def tiny(**changes: Any) -> Study:
    """lenet-8-6 on arrays: 2 replicates, levels 0..2, 20 iterations; a table given is merged into its default."""
    table: dict[str, Any] = {
        "name": "tiny",
        "replicates": 2,
        "levels": 2,
        "model": {"name": "lenet-8-6"},
        "data": {"name": "arrays", "validation": 30},
        "recipe": {"iterations": 20, "batch": 10, "lr": 0.01, "evaluate_every": 5, "curve_every": 10},
        "pruning": {"rate": 0.3},
        "arms": [{"name": "reinit"}, {"name": "random-mask"}],
    }
    for key, value in changes.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) and key in table else value
    return Study.model_validate(table)


def run_tiny(out: Path, study: Study | None = None, **options: Any) -> Run:
    """Run a tiny study on the toy data, on the CPU with one thread; LeNets on the engine that starts fastest."""
    study, donors = study or tiny(), options.pop("dense_from", ())
    return run_study(study, tiny_options(out, study, **options), dense_from=donors)


def tiny_options(out: Path, study: Study, **options: Any) -> RunOptions:
    """How `run_tiny` runs a study."""
    engine = "mlp" if study.model.name.startswith("lenet") and "model" not in options else "auto"
    return RunOptions(
        out, **{"dataset": toy_data(), "device": "cpu", "threads": 1, "engine": engine, **options}
    )


def rewrite_record(run: Run, cell: Cell, **changes: Any) -> None:
    """Store another record of a cell, as if it had come out so."""
    record = replace(run.record(cell), **changes).sealed(run.record(cell).digests or {}, run.ladder)
    write_json(run.folder(cell) / "cell.json", record.table())


def contents(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of all that has to be equal between equal runs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in PRIVATE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def times(folder: Path) -> dict[str, int]:
    """Relative path -> time of the last change, of every file but the lock."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def cells_of(found: dict[str, Any]) -> dict[str, Any]:
    """The entries of `contents` or `times` that belong to cells."""
    return {name: value for name, value in found.items() if name.startswith("cells/")}


def no_leftovers(folder: Path) -> bool:
    """Whether no temporary file or folder and no checkpoint is left."""
    return not [p for p in folder.rglob("*") if p.name.endswith(".tmp") or "checkpoint" in p.name]


class Notes(Silent):
    """Somebody who writes down what is reported, and may stop the run."""

    def __init__(self, stop_after: int = 1_000_000) -> None:
        self.total = self.done = self.advanced = 0
        self.landed_cells: list[Cell] = []
        self.stop_after = stop_after

    def begin(self, total: int, done: int) -> None:
        self.total, self.done = total, done

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        self.advanced += steps
        if self.advanced > self.stop_after:
            raise KeyboardInterrupt

    def landed(self, drawn: Sequence[Drawn]) -> None:
        self.landed_cells += [d.cell for d in drawn]


def bound(study: Study) -> Study:
    """The study with the digest of the toy data in it."""
    return study.model_copy(update={"data": study.data.model_copy(update={"digest": toy_data().digest})})
