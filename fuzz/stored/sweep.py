"""The sweep.toml of a sweep, and the results of its members."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from fuzz.in_run import run_folder
from fuzz.target import Target
from fuzz.trees import TOML
from tombola.report.collect import tables_together
from tombola.runs.sweeps import FILE, SweepRun, sweep_results


def read(path: Path) -> None:
    """Put it into a folder beside the run."""
    folder = run_folder().with_name("sweep")
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(path.read_bytes())
    found = SweepRun.open(folder)
    sweep_results(found)
    tables_together(found.title, found.runs)


def seeds() -> list[bytes]:
    """Two members, which are the same run."""
    values = [
        {"pruning.criterion": "magnitude", "recipe.lr": 0.1},
        {"pruning.criterion": "random", "recipe.lr": 1},
    ]
    members = [{"run": run_folder().name, "values": each} for each in values]
    return [tomli_w.dumps({"title": "Two", "members": members}).encode()]


TARGET = Target(read, seeds, FILE, TOML)
