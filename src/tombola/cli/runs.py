"""Commands about studies and their runs: run, runs, status, results, report, diff, verify."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete, names
from tombola.cli.options import (
    READS,
    RUNS,
    Csv,
    DataDir,
    Device,
    EngineName,
    Json,
    RunName,
    RunsFolder,
    Settings,
    Several,
    Threads,
    Track,
    argument,
    exclusive,
    listed,
    option,
    spelt,
)
from tombola.errors import UserError, nearest

STEPS = ("training", "comparison", "report")
"""What a run can be told to stop after."""
ALONE = (
    "note: this study trains tickets alone; arms beside them ([[arms]] with name = 'reinit', and 'random-mask') would "
    "show whether they win"
)
"""Said of a study that can answer little."""


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command(context_settings=spelt(runs="out"))(run)
    for command in (runs, status, results, diff, verify):
        app.command(context_settings=READS)(command)
    app.command()(report)


def run(
    what: Annotated[str, argument("PRESET|FILE.toml", "See `tombola catalog presets`.", complete.studies)],
    settings: Settings = None,
    out: Annotated[Path, option("--out", "Folder that holds the run folders; a URL means --mirror.")] = RUNS,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = None,
    data_dir: DataDir = None,
    dry_run: Annotated[bool, option("--dry-run", "Say what would be trained, and what it costs.")] = False,
    watch: Annotated[bool, option("--watch", "Serve the run's page meanwhile, see `tombola watch`.")] = False,
    until: Annotated[
        str,
        option(
            "--until",
            "Stop after `training`, or `comparison`; else all is decided and reported.",
            metavar="STEP",
        ),
    ] = "report",
    track: Track = None,
    on: Annotated[
        str,
        option(
            "--on",
            "Who trains: local:N processes, ray, ray://HOST:PORT, or slurm:N jobs (else this process).",
            complete.words("local:2", "ray", "slurm:2"),
            "PLACE",
        ),
    ] = "",
    each: Annotated[
        Several, option("--each", "What a worker of --on gets; repeatable.", metavar="KEY=VALUE")
    ] = None,
    shard: Annotated[
        str, option("--shard", "Be worker i of n that share the run's folder.", metavar="i/n")
    ] = "",
    mirror: Annotated[
        str, option("--mirror", "Keep a copy up to date there, and go on from it.", metavar="URL")
    ] = "",
    as_json: Json = False,
) -> None:
    """Run a study to its end, from wherever it was stopped: train, compare, decide, and write its report."""
    from tombola.analysis.compare_runs import compare_study
    from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
    from tombola.cli.serve import Beside
    from tombola.cli.show.dry_run import dry_run as print_dry_run
    from tombola.cli.show.run import print_results
    from tombola.cli.show.verdicts import print_sentences, print_verdicts
    from tombola.cli.show.watcher import Watcher, announcer
    from tombola.report.page.compose import write_reports
    from tombola.runs.folder import Run
    from tombola.runs.run_options import RunOptions
    from tombola.runs.runner import run_study, run_sweep
    from tombola.runs.sweeps import SweepRun
    from tombola.runs.work.mirror import Mirror
    from tombola.runs.work.ranks import assists, dismiss
    from tombola.study.load import load_sweep

    if until not in STEPS:
        raise UserError(f"--until is '{until}'; expected one of {', '.join(STEPS)}{nearest(until, STEPS)}")
    sweep = load_sweep(what, settings or []).importing(names.IMPORTS)
    options = RunOptions(
        out,
        device,
        engine,
        threads,
        data_dir,
        track=listed(track),
        on=on,
        each=each or (),
        shard=shard,
        mirror=mirror,
    )
    if assists(options, dry_run):
        return
    first = sweep.first
    if first.levels and not (first.arms or first.route or sweep.keys):
        print(ALONE, file=sys.stderr)
    if dry_run:
        print_dry_run(sweep, options, as_json)
        return
    if out != options.out:
        print(f"note: {options.kept()}", file=sys.stderr)
    if sweep.keys and watch:
        raise UserError(
            "--watch shows one run, and this is a sweep; expected `tombola watch` with one of its runs"
        )
    found: Run | SweepRun
    with Beside(watch) as live, Watcher() as watcher:
        options = replace(options, progress=watcher)
        if sweep.keys:
            found = run_sweep(sweep, options, beginning=announcer(len(sweep.members)))
        else:
            found = run_study(sweep.first, options, beginning=live.begin)
    dismiss()
    asked = sweep.first.replicates
    for one in found.runs.values():
        if one.study.replicates > asked:
            there = f"{one.study.replicates} replicates are there already, and all of them count"
            print(f"{one.path.name}: {there}; {asked} were asked for", file=sys.stderr)
    place = f"{'sweep' if sweep.keys else 'run  '}   {found.path}"
    if shard and any(one.headway().state != "finished" for one in found.runs.values()):
        print(f"{place}\nothers are still at it; the last of them goes on to the report")
        return
    with Watcher() as watcher:
        for one in found.runs.values() if until != "training" else ():
            if compare_study(one, data_dir, watcher.compared):
                watcher.tell(f"{one.path.name}: tickets are compared")
        if until == "report":
            watcher.tell("deciding what was claimed, and drawing the page")
            verdicts = [verdicts_of(one, data_dir=data_dir) for one in found.runs.values()]
            for one, own in zip(found.runs.values(), verdicts, strict=True):
                write_verdicts(one, own)
            page = write_reports([found])
            for one in found.runs.values() if options.mirror else ():
                Mirror.of(options.mirror, one).send()
    if until != "report":
        print(place)
        return
    answered = not sweep.keys and any(one.answers for one in verdicts[0].verdicts)
    if as_json or not answered:
        print_results(found, as_json)
    if as_json:
        return
    if answered:
        print_sentences(verdicts[0])
    elif sweep.first.hypothesis and not sweep.keys:
        print()
        print_verdicts(verdicts[0], published=False)
    print(f"\n{place}\nreport  {page}")
    if answered:
        print(
            f"`tombola results {found.path.name}` has the means, `tombola verdicts {found.path.name}` every test"
        )


def runs(runs: RunsFolder = RUNS, as_json: Json = False) -> None:
    """List the runs under --runs."""
    from tombola.cli.show.run import print_runs

    print_runs(runs, as_json)


def status(name: RunName, runs: RunsFolder = RUNS, as_json: Json = False) -> None:
    """Say how far a run is."""
    from tombola.cli.show.run import print_status
    from tombola.runs.locate import find

    print_status(find(name, runs), as_json)


def results(
    name: RunName,
    cost: Annotated[bool, option("--cost", "What each ticket cost instead, against the ladder.")] = False,
    margin: Annotated[
        float | None,
        option("--margin", "Accuracy (0..1) that a ticket as good may lose, with --cost.", min=0.0, max=1.0),
    ] = None,
    against: Annotated[
        str | None,
        option(
            "--against",
            "With --cost, whom a ticket as good is held against: ticket (the ladder's, the default) or dense.",
            complete.words("ticket", "dense"),
        ),
    ] = None,
    runs: RunsFolder = RUNS,
    by_class: Annotated[
        bool,
        option(
            "--per-class", "Accuracy by class at early stop, and their mean; the networks are measured anew."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Print a run's results: means with 95% intervals over replicates, or one row a cell as --csv or --json."""
    from tombola.cli.show.run import print_by_class, print_results
    from tombola.runs.locate import find, find_run

    exclusive(as_json, as_csv)
    for asked, flag in ((margin, "--margin"), (against, "--against")):
        if asked is not None and not cost:
            raise UserError(f"{flag} goes with --cost")
    if against not in (None, "ticket", "dense"):
        raise UserError(f"--against is ticket or dense, not {against!r}")
    if cost and by_class:
        raise UserError("--cost and --per-class are two tables; give one of them")
    if by_class:
        print_by_class(find_run(name, runs), data_dir, as_json, as_csv)
        return
    if not cost:
        print_results(find(name, runs), as_json, as_csv)
        return
    from tombola.analysis.savings import MARGIN, Against
    from tombola.cli.show.cost import print_costs

    whom: Against = "dense" if against == "dense" else "ticket"
    print_costs(find_run(name, runs), MARGIN if margin is None else margin, whom, as_json, as_csv)


def report(
    names: Annotated[
        list[str], argument("RUN...", "Runs or sweeps; several are put on one page.", complete.runs)
    ],
    compare: Annotated[
        Several, option("--compare", "A run more on the page; repeatable.", complete.runs, "RUN")
    ] = None,
    form: Annotated[
        str | None,
        option(
            "--format",
            "html (the default), pdf, md, typst or slides.",
            complete.words("html", "pdf", "md", "typst", "slides"),
        ),
    ] = None,
    template: Annotated[
        str | None,
        option(
            "--template",
            "paper (the default) or proposal, which a study file will do for.",
            complete.words("paper", "proposal"),
        ),
    ] = None,
    out: Annotated[
        Path | None, option("--out", "Folder to write it to (default: the run's own, report).")
    ] = None,
    runs: RunsFolder = RUNS,
    data_dir: DataDir = None,
) -> None:
    """Write the report of a run or a sweep, finished or not, or of several on one page, and print its path.

    Papers, proposals and slides are one a run.
    """
    from tombola.cli.documents import write_documents
    from tombola.report.page.compose import write_reports
    from tombola.runs.locate import find

    named = [*names, *(compare or [])]
    if template or form not in (None, "html"):
        for path in write_documents(named, form or "pdf", template or "paper", runs, data_dir, out):
            print(path)
        return
    print(write_reports([find(name, runs) for name in named], out))


def diff(a: RunName, b: RunName, runs: RunsFolder = RUNS, as_json: Json = False) -> None:
    """Compare two runs: what their specs and their results have different."""
    from tombola.cli.show.run import print_difference
    from tombola.runs.locate import find_run

    print_difference(find_run(a, runs), find_run(b, runs), as_json)


def verify(
    name: RunName,
    repair: Annotated[
        bool,
        option("--repair", "Train damaged cells again, just those, and say whether they are as they were."),
    ] = False,
    runs: RunsFolder = RUNS,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read every file of a run or a sweep, and name those that are not as they were stored; exit code 1 if any is."""
    from tombola.cli.show.verify import print_damages, print_mended
    from tombola.runs.check.damage import damages_of
    from tombola.runs.check.repair import repair as mend
    from tombola.runs.locate import find
    from tombola.runs.run_options import RunOptions

    well = True
    for run in find(name, runs).runs.values():
        found = damages_of(run)
        if repair and found:
            mended = mend(run, found, RunOptions(run.path.parent, data_dir=data_dir))
            well &= print_mended(run, mended, as_json)
        else:
            well &= print_damages(run, found, as_json)
    if not well:
        raise typer.Exit(1)
