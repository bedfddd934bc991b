"""verdicts: what came of the hypotheses of a run."""

from __future__ import annotations

import typer

from tombola.cli.options import READS, RUNS, Csv, DataDir, Json, RunName, RunsFolder, exclusive


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(context_settings=READS)(verdicts)


def verdicts(
    name: RunName,
    runs: RunsFolder = RUNS,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Decide the hypotheses of a run, finished or not: estimate, interval, p, and the decision of each."""
    from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.cli.show.verdicts import print_verdicts
    from tombola.cli.show.watcher import Watcher
    from tombola.runs.locate import find_run

    exclusive(as_json, as_csv)
    run = find_run(name, runs)
    with Watcher(resume=False) as watcher:  # measures that are not stored are taken, pair by pair
        found = verdicts_of(run, data_dir=data_dir, told=watcher.compared)
    path = write_verdicts(run, found)
    if as_json:
        print_json(found.table())
    elif as_csv:
        print_csv(found.frame())
    else:
        print_verdicts(found)
        print(f"\nstored in {path}" if path else "")
