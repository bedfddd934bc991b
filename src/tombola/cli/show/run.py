"""Printing how far runs and sweeps are, and what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tombola.analysis.compared import compared_key, key_of
from tombola.analysis.contrasts import claims, contrasts, diff_results
from tombola.analysis.verdicts.published import expectations
from tombola.cli.show.tables import console, print_csv, print_json, print_means, print_table
from tombola.errors import UserError
from tombola.metrics import metric_in
from tombola.runs.folder import Run
from tombola.runs.locate import all_runs
from tombola.runs.progress import require_whole
from tombola.runs.results import results_of
from tombola.runs.stops import ends_in_words
from tombola.runs.sweeps import SweepRun, sweep_results
from tombola.study.diff import diff_many
from tombola.study.sweep import label_of
from tombola.text import percent, ticket_first

Facts = dict[str, Any]
BOTH = " / "
"""Between what one run has and what the other has."""


def print_runs(folder: Path, as_json: bool) -> None:
    """The sweeps and runs in a folder, and how far they are."""
    rows = _listed((path.parent for path in sorted(folder.glob("*/sweep.toml"))), "members", [])
    rows += _listed((run.path for run in all_runs(folder)), "arms", {})
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


def _listed(paths: Iterable[Path], key: str, nothing: Any) -> list[Facts]:
    """Rows of `tombola runs`; a folder that cannot be read, or whose study was edited, is broken, and has `nothing`."""
    rows = []
    for path in paths:
        try:
            rows.append(progress_of(SweepRun.open(path) if key == "members" else Run(path)))
        except UserError as problem:
            broken = {"run": path.name, "title": str(problem), "state": "broken", "done": 0, "planned": 0}
            rows.append({**broken, key: nothing})
    return rows


def print_status(found: Run | SweepRun, as_json: bool) -> None:
    """How far a run or a sweep is; of a sweep a line a member."""
    facts = progress_of(found)
    if as_json:
        print_json(facts)
        return
    print(f"{found.path}: {facts['state']}, {facts['done']} of {facts['planned']} cells done")
    if isinstance(found, SweepRun):
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
        return
    rows = [
        [arm, f"{count['done']}/{count['planned']}", str(count["failed"])]
        for arm, count in facts["arms"].items()
    ]
    print_table(["arm", "cells", "collapsed or diverged"], rows)
    asked = found.study.compare and len(facts["arms"]) > 1  # alone, a ticket is held against nothing
    if facts["state"] == "finished" and asked and compared_key(found) != key_of(found):
        print(
            "\nIts tickets are not compared yet: the same `tombola run` goes on with that, and to the answer."
        )


def progress_of(found: Run | SweepRun) -> Facts:
    """State, and cells done and planned: of a run those of each arm as well, of a sweep its members', and their sum."""
    if isinstance(found, SweepRun):
        members = [{"values": dict(values), **progress_of(run)} for values, run in found.members]
        states = [member["state"] for member in members]
        state = next((state for state in ("running", "unfinished") if state in states), "finished")
        done, planned = (sum(member[key] for member in members) for key in ("done", "planned"))
        facts = {"run": found.path.name, "title": found.title, "state": state}
        return {**facts, "done": done, "planned": planned, "members": members}
    now = found.headway(require_whole(found))
    arms = {
        arm: {
            key: sum(getattr(row, key) for row in now.rows if row.arm == arm)
            for key in ("planned", "done", "failed")
        }
        for arm in sorted({row.arm for row in now.rows}, key=ticket_first)
    }
    facts = {"run": now.run, "title": now.title, "state": now.state}
    return {**facts, "done": now.done, "planned": now.planned, "arms": arms}


def print_results(found: Run | SweepRun, as_json: bool, as_csv: bool = False) -> None:
    """Results of a run or a sweep: a table, or one row a cell."""
    frame = sweep_results(found) if isinstance(found, SweepRun) else results_of(found)
    if as_json:
        print_json(frame.to_dicts())
    elif as_csv:
        print_csv(frame)
    elif isinstance(found, SweepRun):
        for label, run in found.runs.items():
            print(f"{label} ({run.path.name})\n")
            _print_findings(run)
            print()
        for line in contrasts({label: results_of(run, timed=False) for label, run in found.runs.items()}):
            print(line)
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


def print_by_class(run: Run, data_dir: Path | None, as_json: bool, as_csv: bool) -> None:
    """Accuracy by class: means of each arm at each level, or one row a cell and class."""
    from tombola.analysis.per_class import class_means, per_class  # here: it computes with torch

    rows = per_class(run, data_dir)
    if as_json:
        print_json(rows.to_dicts())
    elif as_csv:
        print_csv(rows)
    elif rows.is_empty():
        print("no cell is done yet")
    else:
        means = class_means(rows)
        heads = ["arm", "level", "n", "balanced %", *(f"class {name} %" for name in means.columns[4:])]
        table = [
            [arm, str(level), str(n), *("" if share is None else f"{100 * share:.2f}" for share in shares)]
            for arm, level, n, *shares in means.iter_rows()
        ]
        print_table(heads, table)


def _of_both(a: str, b: str) -> str:
    """What two runs have: once where it is the same."""
    return a if a == b else f"{a}{BOTH}{b}"


def say_of_more(run: Run, asked: int) -> None:
    """Say on standard error where a run has more replicates than were asked for."""
    if (there := run.study.replicates) > asked:
        said = f"{there} replicates are there already, and all of them count; {asked} were asked for"
        print(f"{run.path.name}: {said}", file=sys.stderr)


def print_difference(first: Run, second: Run, as_json: bool) -> None:
    """What the specs and the results of two runs have different."""
    keys = diff_many([first.study, second.study])
    frames = results_of(first), results_of(second)
    rows, metric = diff_results(*frames).to_dicts(), metric_in(frames[0].columns)
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
            [
                row["arm"],
                str(row["level"]),
                _of_both(percent(row["density"], 2), percent(row["density_b"], 2)),
                _of_both(str(row["n_a"]), str(row["n_b"])),
            ]
            + [metric.shown(row[c]).removesuffix(metric.unit) for c in ("test_a", "test_b")]
            + [metric.difference(row["test_b"] - row["test_a"]), f"{row['stop_b'] - row['stop_a']:+z.0f}"]
            for row in rows
        ]
        tests = [f"test {metric.head} A", f"test {metric.head} B", f"B - A,{metric.points}".rstrip(",")]
        heads = ["arm", "level", "density", "n", *tests, "early stop, B - A"]
        differ = any(BOTH in cell for cells in table for cell in cells)
        both = f"; where A and B differ, A{BOTH}B" if differ else ""
        console().print(f"\nmeans over n replicates; test {metric.noun} at early stop{both}")
        print_table(heads, table)
        for run in (first, second):
            if said := ends_in_words(results_of(run, timed=False), marks=False):
                console().print(f"{run.path.name}: {said}")
    else:
        print("no arm and level in common")
