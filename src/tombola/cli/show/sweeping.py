"""Running a sweep with its progress on screen, and saying beforehand what it would take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tombola.analysis.verdicts import verdicts_of, write_verdicts
from tombola.cli.show.progress import Watcher
from tombola.cli.show.sweeps import Facts
from tombola.cli.show.tables import duration, print_json, print_table, size, time_of
from tombola.report.page.compose import write_sweep_report
from tombola.runs import sweeping
from tombola.runs.reuse import shares_dense
from tombola.runs.sweeping import bound
from tombola.runs.sweeps import SweepRun
from tombola.study.spec import Study
from tombola.study.sweep import Member, Sweep, label_of

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
        found = sweeping.run_sweep(
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
