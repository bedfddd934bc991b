"""How long commands take on large runs: `python benchmarks/growth.py CELLS FOLDER`.

Trains one replicate of a small study, and clones its cells until there are so many; prints seconds and memory of what
each command does, without the seconds that the program takes to start.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tombola.cli.show.run import print_results, print_runs, print_status
from tombola.data.arrays import from_arrays
from tombola.files import write_json
from tombola.report.page.page import BESIDE
from tombola.runs.cells.record import TIMING_FILE, place_of, timing_table
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.study.spec import Study

LEVELS, ARMS = 9, 10


def data() -> Any:
    """Three clouds in six dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6)) * 2
    parts = [np.arange(count) % 3 for count in (90, 45)]
    return from_arrays(*((centres[labels] + rng.normal(size=(len(labels), 6)), labels) for labels in parts))


def study(replicates: int) -> Study:
    """100 cells a replicate: dense, and ten arms with the ticket at nine levels."""
    arms = [{"name": f"arm-{i}", "weights": "reinit"} for i in range(ARMS)]
    return Study.model_validate(
        {
            "name": "growth",
            "replicates": replicates,
            "levels": LEVELS,
            "model": {"name": "lenet-8-6"},
            "data": {"name": "arrays", "validation": 30},
            "recipe": {"iterations": 20, "batch": 10, "lr": 0.01, "evaluate_every": 5, "curve_every": 10},
            "arms": arms,
        }
    )


def made(cells: int, out: Path) -> Run:
    """A run of about so many cells, most of them clones."""
    options = RunOptions(out, dataset=data(), device="cpu", threads=1, engine="mlp")
    run = run_study(study(2), options)
    first = [cell for cell in run.cells() if cell.replicate == 0]
    replicates = max(2, round(cells / len(first)))
    for r in range(2, replicates):
        for cell in first:
            clone = replace(cell, replicate=r)
            record = run.record(cell)
            folder = run.folder(clone)
            if folder.exists():
                continue
            folder.mkdir(parents=True)
            for file in run.folder(cell).iterdir():
                os.link(file, folder / file.name)
            for name, table in {
                "cell.json": replace(record, cell=clone).sealed(record.digests or {}, "").table(),
                TIMING_FILE: timing_table(run.seconds(cell), place_of(clone, "")),
            }.items():
                (folder / name).unlink()
                write_json(folder / name, table)
    run.write_study(run.study.model_copy(update={"replicates": replicates}))
    return Run(run.path)


def main(cells: int, out: Path) -> None:
    """Make the run, and time each command in a process of its own."""
    from tombola.report.page.compose import write_page

    run = made(cells, out)
    options = RunOptions(out, dataset=data(), device="cpu", threads=1)
    commands: dict[str, Callable[[], object]] = {
        "status": lambda: print_status(Run(run.path), True),
        "runs": lambda: print_runs(out, True),
        "results": lambda: print_results(Run(run.path), False, True),
        "resume": lambda: run_study(run.study, options),
        "report": lambda: write_page(Run(run.path), out / "page", BESIDE),
    }
    for name in commands:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            begun = time.monotonic()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            commands[name]()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            os.write(writer, f"{name}: {time.monotonic() - begun:.2f} s, {peak:.0f} MiB".encode())
            os._exit(0)
        os.close(writer)
        print(os.read(reader, 1000).decode(), flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
