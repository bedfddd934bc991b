"""Printing what is damaged in a run, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from tombola.cli.show.tables import print_json
from tombola.runs.check.damage import Damage
from tombola.runs.check.repair import Mended
from tombola.runs.folder import Run


def print_damages(run: Run, found: Sequence[Damage], as_json: bool) -> bool:
    """A line for each damaged file; returns whether there is none."""
    if as_json:
        print_json([{"run": run.path.name, "file": str(each.path), "wrong": each.wrong} for each in found])
        return not found
    for each in found:
        print(each)
    if found:
        print(
            f"{run.path}: {len(found)} damaged; tombola verify {run.path.name} --repair trains such cells again"
        )
    else:
        print(f"{run.path}: {len(run.cells())} cells, every file is as it was stored")
    return not found


def print_mended(run: Run, mended: Sequence[Mended], as_json: bool) -> bool:
    """A line for each thing that was mended, or could not be; returns whether all is as it was."""
    if as_json:
        print_json([{"run": run.path.name, "said": each.said, "same": each.same} for each in mended])
    else:
        for each in mended:
            print(each.said)
    return all(each.same for each in mended)
