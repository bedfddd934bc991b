"""How far a run is, read from its folder alone: by whoever watches it, while another process trains."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from tombola.lottery import Cell
from tombola.study.plan import planned_cells
from tombola.study.standing import missing
from tombola.study.store import Run
from tombola.study.title import title_of

State = Literal["running", "unfinished", "finished"]
WORDS = {
    "running": "still running",
    "unfinished": "not finished, and nobody is training it now",
    "finished": "finished",
}
"""What to say of a run in each state."""


@dataclass(frozen=True)
class Row:
    """The cells of one arm at one level; `accuracy` is their mean test accuracy at early stop (0..1), or None."""

    level: int
    arm: str
    done: int
    planned: int
    failed: int
    accuracy: float | None


@dataclass(frozen=True)
class Headway:
    """How far a run is. `seconds_left` is estimated from the cells that are done; None where there is no telling."""

    run: str
    title: str
    state: State
    done: int
    planned: int
    seconds_left: float | None
    rows: tuple[Row, ...]


def headway(run: Run) -> Headway:
    """How far a run is now. Reads only; raises UserError where the folder holds no run."""
    study, done = run.study, run.cells()
    planned, left = planned_cells(study), missing(run, study)
    state: State = "running" if run.is_locked() else "unfinished" if left else "finished"
    records = {cell: run.record(cell) for cell in done}
    return Headway(
        run=run.path.name,
        title=title_of(study),
        state=state,
        done=len(done),
        planned=len({*planned, *done}),
        seconds_left=_seconds_left(run, done, left) if state == "running" else None,
        rows=_rows(records, planned),
    )


def _rows(records: dict[Cell, dict[str, Any]], planned: Sequence[Cell]) -> tuple[Row, ...]:
    groups: dict[tuple[int, str], set[Cell]] = defaultdict(set)
    for cell in (*planned, *records):
        groups[cell.level, cell.arm].add(cell)
    rows = []
    for (level, arm), cells in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] != "ticket", g[0][1])):
        found = [records[cell] for cell in sorted(cells & records.keys())]
        good = [record["early_stop_test_accuracy"] for record in found if record["status"] == "ok"]
        known = [accuracy for accuracy in good if accuracy is not None]
        rows.append(
            Row(level, arm, len(found), len(cells), len(found) - len(good), fmean(known) if known else None)
        )
    return tuple(rows)


def _seconds_left(run: Run, done: Sequence[Cell], left: Sequence[Cell]) -> float | None:
    """What the missing cells would take at the pace of the level that landed last (sparser ones may be faster), less
    the time since then."""
    if not done:
        return None
    landed = {cell: (run.folder(cell) / "cell.json").stat().st_mtime for cell in done}
    last = max(done, key=landed.__getitem__)
    recent = [cell for cell in done if cell.level == last.level]
    pace = fmean(run.seconds(cell) for cell in recent)
    return max(0.0, pace * len(left) - max(0.0, time.time() - landed[last]))
