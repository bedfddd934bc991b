"""What the commands about runs print for a sweep: its members, with the swept values beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tombola.analysis.contrasts import contrasts
from tombola.cli.show.tables import print_table
from tombola.errors import UserError
from tombola.runs.folder import Run
from tombola.runs.locate import all_runs
from tombola.runs.results import results_of
from tombola.runs.sweeps import SweepRun
from tombola.study.sweep import label_of

Facts = dict[str, Any]


def print_results(found: SweepRun, print_findings: Callable[[Run], None]) -> None:
    """The members one after the other, then what is between them."""
    for label, run in found.runs.items():
        print(f"{label} ({run.path.name})\n")
        print_findings(run)
        print()
    lines = contrasts({label: results_of(run, timed=False) for label, run in found.runs.items()})
    for line in lines:
        print(line)


def sweep_facts(found: SweepRun, progress_of: Callable[[Run], Facts]) -> Facts:
    """How far a sweep is: its members', summed."""
    members = [{"values": dict(values), **progress_of(run)} for values, run in found.members]
    states = [member["state"] for member in members]
    state = next((state for state in ("running", "unfinished") if state in states), "finished")
    return {
        "run": found.path.name,
        "title": found.title,
        "state": state,
        "done": sum(member["done"] for member in members),
        "planned": sum(member["planned"] for member in members),
        "members": members,
    }


def print_status(found: SweepRun, facts: Facts) -> None:
    """A line a member."""
    print(f"{found.path}: {facts['state']}, {facts['done']} of {facts['planned']} cells done")
    rows = [
        [
            label_of(member["values"]),
            member["run"],
            member["state"],
            f"{member['done']}/{member['planned']}",
            f"{sum(arm['failed'] for arm in member['arms'].values())}",
        ]
        for member in facts["members"]
    ]
    print_table(["member", "run", "state", "cells", "collapsed or diverged"], rows, left=3)


def listed_sweeps(out: Path, progress_of: Callable[[Run], Facts]) -> list[Facts]:
    """The sweeps under a folder as rows of `tombola runs`; one whose file or members cannot be read is broken."""
    rows = []
    for path in sorted(out.glob("*/sweep.toml")):
        try:
            rows.append(sweep_facts(SweepRun.open(path.parent), progress_of))
        except UserError as problem:
            rows.append({**_broken(path.parent, problem), "members": []})
    return rows


def listed_runs(out: Path, progress_of: Callable[[Run], Facts]) -> list[Facts]:
    """The runs under a folder as rows of `tombola runs`; one that cannot be read, or whose study was edited, is
    broken."""
    rows = []
    for run in all_runs(out):
        try:
            rows.append(progress_of(run))
        except UserError as problem:
            rows.append({**_broken(run.path, problem), "arms": {}})
    return rows


def _broken(path: Path, problem: UserError) -> Facts:
    return {"run": path.name, "title": str(problem), "state": "broken", "done": 0, "planned": 0}
