"""Printing how far a run is, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tombola.analysis.contrasts import claims, diff_results
from tombola.analysis.published import expectations
from tombola.cli.show import sweeps
from tombola.cli.show.tables import console, print_json, print_means, print_table
from tombola.runs.folder import Run
from tombola.runs.progress import missing, require_whole
from tombola.runs.results import results_of
from tombola.runs.stops import ends_in_words
from tombola.runs.sweeps import SweepRun, sweep_results
from tombola.study.cells import planned_cells
from tombola.study.diff import diff_many
from tombola.study.title import title_of


def print_runs(folder: Path, as_json: bool) -> None:
    """The sweeps and runs in a folder, and how far they are."""
    rows = sweeps.listed_sweeps(folder, progress_of) + sweeps.listed_runs(folder, progress_of)
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"no runs under {folder}")
    else:
        print_table(
            ["run", "title", "state", "cells"],
            [[row["run"], row["title"], row["state"], f"{row['done']}/{row['planned']}"] for row in rows],
            left=3,
        )


def print_status(found: Run | SweepRun, as_json: bool) -> None:
    """How far a run or a sweep is."""
    facts = sweeps.sweep_facts(found, progress_of) if isinstance(found, SweepRun) else progress_of(found)
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


def progress_of(found: Run) -> dict[str, Any]:
    """State, and cells done and planned, of each arm."""
    require_whole(found)
    spec, done = found.study, set(found.cells())
    planned = set(planned_cells(spec))
    failed = {cell for cell in done if found.record(cell).status != "ok"}
    state = "running" if found.is_locked() else "unfinished" if missing(found, spec) else "finished"
    arms = {
        arm: {
            "planned": sum(cell.arm == arm for cell in planned),
            "done": sum(cell.arm == arm for cell in done),
            "failed": sum(cell.arm == arm for cell in failed),
        }
        for arm in sorted({cell.arm for cell in planned | done}, key=lambda arm: (arm != "ticket", arm))
    }
    facts = {"run": found.path.name, "title": title_of(spec), "state": state}
    return {**facts, "done": len(done), "planned": len(planned), "arms": arms}


def print_results(found: Run | SweepRun, as_json: bool, as_csv: bool = False) -> None:
    """Results of a run or a sweep: a table, or one row a cell."""
    frame = sweep_results(found) if isinstance(found, SweepRun) else results_of(found)
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
    frame = results_of(folder)
    if frame.is_empty():
        print("no cell is done yet")
        return
    print_means(frame)
    for lines in (claims(frame), expectations(frame, folder.study.expect)):
        if lines:
            print()
        for line in lines:
            print(line)


def print_difference(first: Run, second: Run, as_json: bool) -> None:
    """What the specs and the results of two runs have different."""
    keys = diff_many([first.study, second.study])
    rows = diff_results(results_of(first), results_of(second)).to_dicts()
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
        for run in (first, second):
            if said := ends_in_words(results_of(run, timed=False)):
                console().print(f"{run.path.name}: {said}")
    else:
        print("no arm and level in common")
