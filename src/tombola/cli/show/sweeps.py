"""What the commands about runs print for a sweep: its members, with the swept values beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tombola.analysis.contrasts import contrasts
from tombola.analysis.verdicts import verdicts_of, write_verdicts
from tombola.cli.show.progress import Watcher
from tombola.cli.show.tables import duration, print_json, print_table, size, time_of
from tombola.errors import UserError
from tombola.report.page.compose import write_sweep_report
from tombola.runs import sweeps
from tombola.runs.folder import Run
from tombola.runs.locate import all_runs
from tombola.runs.results import results_of
from tombola.runs.reuse import shares_dense
from tombola.runs.sweeps import SweepRun, bound
from tombola.study.spec import Study
from tombola.study.sweep import Member, Sweep, label_of

Facts = dict[str, Any]

SECONDS = ("estimated_seconds", "estimated_seconds_low", "estimated_seconds_high")
"""What a dry run says of time: the middle one of its probes, the least and the most."""


def run_sweep(
    sweep: Sweep,
    out: Path,
    device: str,
    engine: str,
    threads: int | None,
    data_dir: Path | None,
    track: Sequence[str] = (),
) -> tuple[SweepRun, Path]:
    """Run every member in turn, and write the page of all of them."""
    turn = 0

    def beginning(member: Member) -> None:
        nonlocal turn
        turn += 1
        print(f"{turn} of {len(sweep.members)}: {member.label}", file=sys.stderr, flush=True)

    with Watcher() as watcher:
        found = sweeps.run_sweep(
            sweep,
            out,
            device=device,
            engine=engine,
            threads=threads,
            data_dir=data_dir,
            progress=watcher,
            beginning=beginning,
            track=track,
        )
    for run in found.runs.values():
        write_verdicts(run, verdicts_of(run, data_dir=data_dir))
    return found, write_sweep_report(found)


def dry_run_sweep(
    sweep: Sweep,
    out: Path,
    data_dir: Path | None,
    facts_of: Callable[[Study], Facts],
    as_json: bool,
) -> None:
    """One plan for all members: `facts_of` says what each would take alone; dense networks that an earlier member
    trains are counted once."""
    sweep = bound(sweep, data_dir)
    members = [{"values": dict(member.values), **facts_of(member.study)} for member in sweep.members]
    for index, (member, facts) in enumerate(zip(sweep.members, members, strict=True)):
        earlier = [other.study for other in sweep.members[:index]]
        shared = any(shares_dense(member.study, study) for study in earlier)
        facts["trainings_shared"] = member.study.replicates if shared else 0
        dense = facts["trainings_shared"] * member.study.recipe.iterations
        for seconds in SECONDS:
            facts[seconds] *= 1 - dense / facts["iterations"]
        facts["iterations"] -= dense
    sums = (
        "trainings",
        "trainings_shared",
        "trainings_done",
        "iterations",
        *SECONDS,
        "estimated_bytes",
    )
    total = {name: sum(facts[name] for facts in members) for name in sums}
    if as_json:
        print_json({"sweep": str(out / sweep.folder), "keys": list(sweep.keys), "members": members, **total})
        return
    rows = [
        [
            label_of(facts["values"]),
            Path(facts["run"]).name,
            f"{facts['trainings']}",
            f"{facts['trainings_shared']}",
            f"{facts['trainings_done']}",
            f"{100 * facts['densities'][-1]:.2f}%",
            duration(facts["estimated_seconds"]),
            size(facts["estimated_bytes"]),
        ]
        for facts in members
    ]
    heads = ["member", "run", "trainings", "shared", "done", "sparsest", "time", "disk"]
    print_table(heads, rows, left=2)
    fresh = total["trainings"] - total["trainings_shared"]
    done = f" ({total['trainings_done']} done)" if total["trainings_done"] else ""
    print(f"\n{len(members)} studies, {fresh} trainings{done}, {total['iterations']:,} iterations in all")
    for model, prunable, all_ in sorted(
        {(m["model"], m["prunable_weights"], m["parameters"]) for m in members}
    ):
        print(f"{model}: {prunable:,} of {all_:,} parameters are prunable")
    if total["trainings_shared"]:
        print(f"{total['trainings_shared']} dense networks are another member's, and copied from there")
    print(f"{time_of(total)}, from short probes, and {size(total['estimated_bytes'])} on disk")
    print(f"would be written to {out / sweep.folder} and the runs beside it")


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
