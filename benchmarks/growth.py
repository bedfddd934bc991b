"""What commands take on large runs: `python benchmarks/growth.py CELLS FOLDER`.

Trains two replicates of a small study, and clones one until there are so many cells, each with files of its own names
and starts; prints processor seconds and memory of what each command does, in a process of its own, without the seconds
that the program takes to start. The first status makes the index.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tombola.files import canonical
from tombola.runs.cells.index import INDEX
from tombola.runs.cells.record import TIMING_FILE, CellRecord, place_of, timing_table
from tombola.runs.folder import Run
from tombola.seals import digest_of_bytes

LEVELS, ARMS = 9, 10


def data() -> Any:
    """Three clouds in six dimensions."""
    from tombola.data.arrays import from_arrays

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6)) * 2
    parts = [np.arange(count) % 3 for count in (90, 45)]
    return from_arrays(*((centres[labels] + rng.normal(size=(len(labels), 6)), labels) for labels in parts))


def study(replicates: int) -> Any:
    """100 cells a replicate: dense, and ten arms with the ticket at nine levels."""
    from tombola.study.spec import Study

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


def options(out: Path, **more: Any) -> Any:
    """How the study is run."""
    from tombola.runs.run_options import RunOptions

    return RunOptions(out, dataset=data(), device="cpu", threads=1, **more)


def make(cells: int, out: Path) -> None:
    """A run of about so many cells, most of them clones."""
    from tombola.runs.runner import run_study

    run = run_study(study(2), options(out, engine="mlp"))
    first = {cell: run.record(cell) for cell in run.cells() if cell.replicate == 0}
    replicates = max(2, round(cells / len(first)))
    for r in range(2, replicates):
        for cell, record in first.items():
            clone, folder = replace(cell, replicate=r), run.folder(replace(cell, replicate=r))
            if folder.exists():
                continue
            folder.mkdir(parents=True)
            for file in run.folder(cell).iterdir():
                if file.name not in ("cell.json", TIMING_FILE):
                    os.link(file, folder / file.name)
            own = replace(record, cell=clone, **_starts(run, r, record)).sealed(record.digests or {}, "")
            for name, table in {
                "cell.json": own.table(),
                TIMING_FILE: timing_table(run.seconds(cell), place_of(clone, "")),
            }.items():
                (folder / name).write_text(canonical(table))
    run.write_study(run.study.model_copy(update={"replicates": replicates}))


def _starts(run: Run, r: int, record: CellRecord) -> dict[str, Any]:
    """Where the starts of a clone lie, under names of their own: as many as there would be."""
    named = {digest: digest_of_bytes(f"{r} {digest}".encode())[:16] for digest in record.starts}
    for digest, name in named.items():
        if not run.start_file(name).exists():
            os.link(run.start_file(digest), run.start_file(name))
    start = record.start and replace(record.start, digest=named[record.start.digest])
    return {"start": start, "rewind": record.rewind and named[record.rewind]}


def status(run: Run) -> None:
    """`tombola status`."""
    from tombola.cli.show.run import print_status

    _timed(lambda: print_status(run, True))


def runs(run: Run) -> None:
    """`tombola runs`."""
    from tombola.cli.show.run import print_runs

    _timed(lambda: print_runs(run.path.parent, True))


def results(run: Run) -> None:
    """`tombola results --csv`."""
    from tombola.cli.show.run import print_results

    _timed(lambda: print_results(run, False, True))


def resume(run: Run) -> None:
    """`tombola run`, where nothing is missing."""
    from tombola.runs.runner import run_study

    spec, settings = Run(run.path).study, options(run.path.parent)
    _timed(lambda: run_study(spec, settings))


def report(run: Run) -> None:
    """`tombola report`."""
    from tombola.report.page.compose import write_page
    from tombola.report.page.page import BESIDE

    _timed(lambda: write_page(run, run.path.parent / "page", BESIDE))


COMMANDS: dict[str, Callable[[Run], None]] = {
    each.__name__: each for each in (status, runs, results, resume, report)
}


def _timed(work: Callable[[], object]) -> None:
    begun, shown = time.process_time(), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    work()
    sys.stdout.flush()
    os.dup2(shown, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.process_time() - begun:.2f} s, {peak:.0f} MiB")


def main(cells: int, out: Path) -> None:
    """Make the run, and time each command."""

    def own_process(what: str) -> None:
        subprocess.run([sys.executable, __file__, str(cells), str(out), what], check=True)

    own_process("make")
    [path] = out.glob("growth-*")
    (path / INDEX).unlink(missing_ok=True)
    for name in ("status", *COMMANDS):
        print(f"{name}: ", end="", flush=True)
        own_process(name)


if __name__ == "__main__":
    count, place = int(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3:] == ["make"]:
        make(count, place)
    elif sys.argv[3:]:
        COMMANDS[sys.argv[3]](Run(next(place.glob("growth-*"))))
    else:
        main(count, place)
