"""Commands about studies and their runs: run, runs, status, results, report, diff."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

import tombola.report as pictures
from tombola import study as studies
from tombola.cli import sweeps
from tombola.cli.options import (
    Csv,
    DataDir,
    Device,
    EngineName,
    Json,
    Out,
    RunName,
    Settings,
    Threads,
    Track,
)
from tombola.cli.papers import write_documents
from tombola.cli.progress import Watcher
from tombola.cli.show import console, duration, print_json, print_means, print_table, size
from tombola.cli.verdicts import print_prospects, print_verdicts, prospects
from tombola.cli.watch import Beside
from tombola.errors import UserError
from tombola.study import Plan, Run, Study, Sweep, SweepRun, find_run

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
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the run's page meanwhile, see `tombola watch`.")
    ] = False,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Run a study to its end, from wherever it was stopped, and write its report."""
    sweep = studies.load_sweep(what, settings or [])
    if dry_run:
        _dry_run(sweep, out, device, engine, threads, data_dir, as_json)
        return
    if sweep.keys and watch:
        raise UserError(
            "--watch shows one run, and this is a sweep; expected `tombola watch` with one of its runs"
        )
    if sweep.keys:
        found, page = sweeps.run_sweep(sweep, out, device, engine, threads, data_dir, track or [])
        _print_results(found, as_json)
        if not as_json:
            print(f"\nsweep   {found.path}\nreport  {page}")
        return
    spec = sweep.first
    with Beside(watch) as live, Watcher() as watcher:
        folder = studies.run(
            spec,
            out,
            device=device,
            engine=engine,
            threads=threads,
            data_dir=data_dir,
            progress=watcher,
            beginning=live.begin,
            track=track or [],
        )
    verdicts = studies.verdicts(folder, data_dir=data_dir)
    studies.write_verdicts(folder, verdicts)
    page = pictures.write_report(folder)
    _print_results(folder, as_json)
    if not as_json:
        if spec.hypothesis:
            print()
            print_verdicts(verdicts, published=False)
        print(f"\nrun     {folder.path}\nreport  {page}")


def _dry_run(
    sweep: Sweep,
    out: Path,
    device: str,
    engine: str,
    threads: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    studies.prepare(threads)

    def planned(study: Study) -> tuple[Plan, dict[str, Any]]:
        study, dataset, net = studies.bind(study, data_dir)
        plan = studies.make_plan(study, net)
        seconds = studies.estimate_seconds(plan, dataset, studies.pick_device(device), engine)
        return plan, _facts(plan, Run(out / study.folder), seconds)

    if sweep.keys:
        sweeps.dry_run_sweep(sweep, out, data_dir, lambda study: planned(study)[1], as_json)
        return
    plan, facts = planned(sweep.first)
    if as_json:
        print_json(facts)
    else:
        _print_plan(plan, facts)


def _facts(plan: Plan, folder: Run, seconds: float) -> dict[str, Any]:
    cells = plan.cells()
    return {
        "run": str(folder.path),
        "model": plan.architecture.name,
        "prunable_weights": sum(plan.lottery.alive[0].values()),
        "levels": plan.study.levels,
        "densities": plan.densities,
        "replicates": plan.study.replicates,
        "trainings": len(cells),
        "trainings_done": sum(folder.has(cell) for cell in cells),
        "iterations": sum(plan.network_iterations(cell) for cell in cells),
        "estimated_seconds": seconds,
        "estimated_bytes": plan.bytes_on_disk(),
        "hypotheses": prospects(plan.study, plan.densities),
    }


def _print_plan(plan: Plan, facts: dict[str, Any]) -> None:
    cells = plan.cells()
    rows = []
    for level, density in enumerate(plan.densities):
        draws = Counter(cell.arm for cell in cells if (cell.replicate, cell.level) == (0, level))
        arms = [f"{name} x {count}" for name, count in draws.items()]
        alive = sum(plan.lottery.alive[level].values())
        rows.append([str(level), ", ".join(arms), f"{alive:,}", f"{100 * density:.2f}%"])
    print_table(["level", "arms", "weights alive", "density"], rows, left=2)
    print(f"\n{facts['model']} on {plan.study.data.name}, {facts['prunable_weights']:,} prunable weights")
    done = f" ({facts['trainings_done']} done)" if facts["trainings_done"] else ""
    print(
        f"{len(cells)} trainings{done}, {facts['replicates']} replicates, {facts['iterations']:,} iterations in all"
    )
    cost = f"{duration(facts['estimated_seconds'])} here, from a short probe, and {size(facts['estimated_bytes'])}"
    print(f"about {cost} on disk")
    print_prospects(facts["hypotheses"])
    print(f"would be written to {facts['run']}")


def runs(out: Out = RUNS, as_json: Json = False) -> None:
    """List the runs under --out."""
    rows = sweeps.listed_sweeps(out, _progress_of) + [_progress_of(found) for found in studies.all_runs(out)]
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
    found = studies.find(name, out)
    facts = sweeps.sweep_facts(found, _progress_of) if isinstance(found, SweepRun) else _progress_of(found)
    if as_json:
        print_json(facts)
        return
    if isinstance(found, SweepRun):
        sweeps.print_status(found, facts)
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
    _print_results(studies.find(name, out), as_json, as_csv)


def _print_results(found: Run | SweepRun, as_json: bool, as_csv: bool = False) -> None:
    frame = studies.sweep_results(found) if isinstance(found, SweepRun) else studies.results(found)
    if as_json:
        print_json(frame.to_dicts())
    elif as_csv:
        print(frame.write_csv(), end="")
    elif isinstance(found, SweepRun):
        sweeps.print_results(found, _print_findings)
    else:
        _print_findings(found)


def _print_findings(folder: Run) -> None:
    """A table of means and what follows from it: the claims, and published numbers beside those found."""
    frame = studies.results(folder)
    if frame.is_empty():
        print("no cell is done yet")
        return
    print_means(frame)
    for lines in (studies.claims(frame), studies.expectations(frame, folder.study.expect)):
        if lines:
            print()
        for line in lines:
            print(line)


def report(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs or sweeps; several are put on one page.")
    ],
    compare: Annotated[
        list[str] | None, typer.Option("--compare", metavar="RUN", help="A run more on the page; repeatable.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html (the default), pdf, md, typst or slides.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="paper (the default) or proposal, which a study file will do for."),
    ] = None,
    out: Out = RUNS,
    data_dir: DataDir = None,
) -> None:
    """Write the report of a run or a sweep, finished or not, or of several on one page, and print its path.

    Papers, proposals and slides are one a run.
    """
    if template or form not in (None, "html"):
        runs = [*names, *(compare or [])]
        for path in write_documents(runs, form or "pdf", template or "paper", out, data_dir):
            print(path)
        return
    found = [studies.find(name, out) for name in [*names, *(compare or [])]]
    print(pictures.write_reports(found))


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
