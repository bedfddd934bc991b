"""Commands about studies and their runs: run, runs, status, results, report, diff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

import tombola.report as pictures
from tombola import study as studies
from tombola.cli.options import Csv, DataDir, Device, EngineName, Json, Out, RunName, Settings, Threads
from tombola.cli.progress import Watcher
from tombola.cli.show import console, duration, print_json, print_means, print_table, size
from tombola.errors import UserError
from tombola.study import Run, Study, find_run

RUNS = Path("runs")


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    for command in (run, runs, status, results, report, diff):
        app.command()(command)


def run(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.toml", help="See `tombola catalog presets`.")],
    settings: Settings = None,
    out: Out = RUNS,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = None,
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and what it costs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a study to its end, from wherever it was stopped, and write its report."""
    spec = studies.load_study(what, settings or [])
    if dry_run:
        _dry_run(spec, out, device, engine, threads, data_dir, as_json)
        return
    with Watcher() as watcher:
        folder = studies.run(
            spec, out, device=device, engine=engine, threads=threads, data_dir=data_dir, progress=watcher
        )
    page = pictures.write_report(folder)
    frame = studies.results(folder)
    if as_json:
        print_json(frame.to_dicts())
        return
    print_means(frame)
    _print_findings(folder, frame)
    print(f"\nrun     {folder.path}\nreport  {page}")


def _dry_run(
    spec: Study,
    out: Path,
    device: str,
    engine: str,
    threads: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    studies.prepare(threads)
    spec, dataset, net = studies.bind(spec, data_dir)
    plan = studies.make_plan(spec, net)
    cells = plan.cells()
    folder = Run(out / spec.folder)
    seconds = studies.estimate_seconds(plan, dataset, studies.pick_device(device), engine)
    facts: dict[str, Any] = {
        "run": str(folder.path),
        "model": net.name,
        "prunable_weights": sum(plan.lottery.alive[0].values()),
        "levels": spec.levels,
        "densities": plan.densities,
        "replicates": spec.replicates,
        "trainings": len(cells),
        "trainings_done": sum(folder.has(cell) for cell in cells),
        "iterations": sum(plan.network_iterations(cell) for cell in cells),
        "estimated_seconds": seconds,
        "estimated_bytes": plan.bytes_on_disk(),
    }
    if as_json:
        print_json(facts)
        return
    rows = []
    for level, density in enumerate(plan.densities):
        arms = [
            f"{name} x {draws}" for name, draws in ([("ticket", 1)] + (spec.arms_at(level) if level else []))
        ]
        alive = sum(plan.lottery.alive[level].values())
        rows.append([str(level), ", ".join(arms), f"{alive:,}", f"{100 * density:.2f}%"])
    print_table(["level", "arms", "weights alive", "density"], rows, left=2)
    print(f"\n{net.name} on {spec.data.name}, {facts['prunable_weights']:,} prunable weights")
    done = f" ({facts['trainings_done']} done)" if facts["trainings_done"] else ""
    print(
        f"{len(cells)} trainings{done}, {spec.replicates} replicates, {facts['iterations']:,} iterations in all"
    )
    print(f"about {duration(seconds)} here, from a short probe, and {size(facts['estimated_bytes'])} on disk")
    print(f"would be written to {folder.path}")


def runs(out: Out = RUNS, as_json: Json = False) -> None:
    """List the runs under --out."""
    rows = [_progress_of(found) for found in studies.all_runs(out)]
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"no runs under {out}")
    else:
        print_table(
            ["run", "title", "state", "cells"],
            [[row["run"], row["title"], row["state"], f"{row['done']}/{row['planned']}"] for row in rows],
            left=3,
        )


def status(name: RunName, out: Out = RUNS, as_json: Json = False) -> None:
    """Say how far a run is."""
    found = find_run(name, out)
    facts = _progress_of(found)
    if as_json:
        print_json(facts)
        return
    print(f"{found.path}: {facts['state']}, {facts['done']} of {facts['planned']} cells done")
    rows = [
        [arm, f"{count['done']}/{count['planned']}", str(count["failed"])]
        for arm, count in facts["arms"].items()
    ]
    print_table(["arm", "cells", "collapsed or diverged"], rows)


def _progress_of(found: Run) -> dict[str, Any]:
    spec, done = found.study, set(found.cells())
    planned = set(studies.planned_cells(spec))
    failed = {cell for cell in done if found.record(cell)["status"] != "ok"}
    state = "running" if found.is_locked() else "unfinished" if studies.missing(found, spec) else "finished"
    arms = {
        arm: {
            "planned": sum(cell.arm == arm for cell in planned),
            "done": sum(cell.arm == arm for cell in done),
            "failed": sum(cell.arm == arm for cell in failed),
        }
        for arm in sorted({cell.arm for cell in planned | done}, key=lambda arm: (arm != "ticket", arm))
    }
    facts = {"run": found.path.name, "title": spec.title, "state": state}
    return {**facts, "done": len(done), "planned": len(planned), "arms": arms}


def results(name: RunName, out: Out = RUNS, as_json: Json = False, as_csv: Csv = False) -> None:
    """Print a run's results: means with 95% intervals over replicates, or one row a cell as --csv or --json."""
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other")
    folder = find_run(name, out)
    frame = studies.results(folder)
    if as_json:
        print_json(frame.to_dicts())
    elif as_csv:
        print(frame.write_csv(), end="")
    elif frame.is_empty():
        print("no cell is done yet")
    else:
        print_means(frame)
        _print_findings(folder, frame)


def _print_findings(folder: Run, frame: pl.DataFrame) -> None:
    """What follows from the results: the claims, and published numbers beside those found."""
    for lines in (studies.claims(frame), studies.expectations(frame, folder.study.expect)):
        if lines:
            print()
        for line in lines:
            print(line)


def report(name: RunName, out: Out = RUNS) -> None:
    """Write the report of a run, finished or not, and print its path."""
    print(pictures.write_report(find_run(name, out)))


def diff(a: RunName, b: RunName, out: Out = RUNS, as_json: Json = False) -> None:
    """Compare two runs: what their specs and their results have different."""
    first, second = find_run(a, out), find_run(b, out)
    keys = studies.diff_specs(first.study, second.study)
    rows = studies.diff_results(studies.results(first), studies.results(second)).to_dicts()
    if as_json:
        print_json({"spec": keys, "results": rows})
        return
    if keys:
        print_table(
            ["key", first.path.name, second.path.name], [[k, str(x), str(y)] for k, (x, y) in keys.items()], 3
        )
    else:
        print("equal specs")
    if rows:
        table = [
            [row["arm"], str(row["level"]), f"{100 * row['density']:.2f}%"]
            + [f"{100 * row[c]:.2f}" for c in ("test_a", "test_b")]
            + [f"{100 * (row['test_b'] - row['test_a']):+.2f}", f"{row['stop_b'] - row['stop_a']:+.0f}"]
            for row in rows
        ]
        heads = ["arm", "level", "density", "test % A", "test % B", "B - A, pp", "early stop, B - A"]
        console().print("\nmeans over replicates; test accuracy at early stop")
        print_table(heads, table)
    else:
        print("no arm and level in common")
