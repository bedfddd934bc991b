"""Files of a run folder, which all that reads runs reads: each input is put in the place of one of them.

The folder has no digests, as those of an older Tombola: with them no input but the true one is read any further.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.target import Target
from fuzz.trees import JSON
from support.simulated import claim
from support.study_kit import run_tiny, tiny
from tombola import html
from tombola.analysis.compare_runs import compare_study
from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
from tombola.lottery.cell import Cell
from tombola.report.collect import tables_of
from tombola.runs.folder import Run
from tombola.seals import SEAL

CELL = "cells/r0/L01/ticket/0"
CLAIMS = [claim("a", arms=["ticket", "reinit"], densities=[0.7])]
STUDY = tiny(levels=1, arms=[{"name": "reinit"}], compare={}, hypothesis=CLAIMS)


@cache
def run_folder() -> Path:
    """A run with verdicts and a comparison, made once a process."""
    run = run_tiny(Path(tempfile.mkdtemp()), STUDY)
    compare_study(run)
    write_verdicts(run, verdicts_of(run))
    for path in run.path.rglob("*.json"):
        path.write_text(json.dumps(_bare(json.loads(path.read_text()))))
    return run.path


def _bare(table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in (SEAL, "digests", "seals")}


def of_file(place: str, seed: Any = None, **how: Any) -> Target:
    """The target of a file at a place in the run; the seed is what it holds, where the run has none."""

    def read(path: Path) -> None:
        there = run_folder() / place
        whole = there.read_bytes() if there.is_file() else None
        try:
            shutil.copyfile(path, there)
            read_run(Run(run_folder()))
        finally:
            there.unlink() if whole is None else there.write_bytes(whole)

    seeds = (lambda: [json.dumps(seed).encode()]) if seed else lambda: [(run_folder() / place).read_bytes()]
    return Target(read, seeds, Path(place).name, **how)


def of_json(place: str, seed: Any = None) -> Target:
    """The target of a JSON file."""
    return of_file(place, seed, tree=JSON)


def read_run(run: Run) -> None:
    """All that status, verdicts, results, report and tickets read, and a notebook shows."""
    run.headway()
    html.card("", run._repr_html_())
    verdicts_of(run, measures=False).table()
    tables_of(run)
    run.ticket(Cell(0, 1, "ticket", 0))
