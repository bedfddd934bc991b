"""Commands about runs: runs, status, results, diff, verify, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.options import (
    READS,
    RUNS,
    Csv,
    DataDir,
    Json,
    RunName,
    RunsFolder,
    Several,
    argument,
    exclusive,
    option,
)
from tombola.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    for command in (runs, status, results, diff, verify):
        app.command(context_settings=READS)(command)
    app.command()(report)


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
