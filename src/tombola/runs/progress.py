"""How far a run is: what of its study is there, what is still to be trained, and what is told while it trains."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Protocol

from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell, Drawn, Status
from tombola.metrics import ACCURACY, METRICS, Metric
from tombola.runs.cells.cells import Cells
from tombola.runs.cells.integrity import fault
from tombola.runs.cells.record import CellRecord
from tombola.study.ladders import SourceStudy, ends_when_still, steps_at_most
from tombola.study.spec import Study
from tombola.study.title import title_of
from tombola.text import ticket_first
from tombola.training.search.bird import seen_from


class Ends:
    """Where ladders of a study ended: above that there is nothing to train."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._ends: dict[int | tuple[int, str, int], int] = {}
        self._deciding = {*study.pruned_arms, *study.ladder_arms, study.search_arm}

    def decides(self, cell: Cell) -> bool:
        """Whether a ladder ends with the cell where it collapsed or diverged: a ticket's, a search's, or one of an arm
        that has its own ladder."""
        return cell.arm in self._deciding

    def note(self, cell: Cell, status: Status) -> None:
        """Note how a cell that decides ended. Where a search failed there is no ticket."""
        if status == "ok":
            return
        if cell.arm == self._study.search_arm:
            self._ends[cell.replicate] = cell.level - 1
        else:
            shared = cell.arm in self._study.pruned_arms
            self._ends[cell.replicate if shared else (cell.replicate, cell.arm, cell.draw)] = cell.level

    def beyond(self, cell: Cell) -> bool:
        """Whether a cell lies above the end of its ladder, or of its replicate's."""
        ladders = cell.replicate, (cell.replicate, cell.arm, cell.draw)
        return any(cell.level > self._ends.get(ladder, cell.level) for ladder in ladders)


def missing(folder: Cells, study: Study) -> list[Cell]:
    """Cells of the study that are still to be trained: not done, and not above the end of a ladder whose
    ticket, or of an arm's own ladder whose network, collapsed or diverged. A ticket whose training was to be watched
    for masks that are missing has to be trained again."""
    return _lacking(folder, study, folder.cells(), study.cells())


def _lacking(folder: Cells, study: Study, there: Iterable[Cell], wanted: Iterable[Cell]) -> list[Cell]:
    """Those of the wanted cells that are missing, where these are there."""
    ends, mode = Ends(study), study.pruning.mode
    for cell in there:
        if ends.decides(cell):
            ends.note(cell, folder.record(cell).status)

    def watched(cell: Cell) -> bool:
        seen = cell.arm == TICKET and bool(seen_from(mode, cell.level, study.levels))
        return seen or isinstance(study, SourceStudy)

    done = {cell for cell in there if not watched(cell) or is_done(folder, study, cell)}
    return [cell for cell in wanted if cell not in done and not ends.beyond(cell)]


def is_done(folder: Cells, study: Study, cell: Cell) -> bool:
    """Whether a cell is there and, of a ticket that is watched, what was seen for every level it is watched for. One of
    a source has to be trained as far as its routes ask now."""
    if not folder.has(cell):
        return False
    levels = seen_from(study.pruning.mode, cell.level, study.levels) if cell.arm == TICKET else ()
    if not all(folder.bird_file(cell, level).exists() for level in levels):
        return folder.record(cell).status != "ok"
    if not isinstance(study, SourceStudy) or ends_when_still(study, cell):
        return True
    record = folder.record(cell)
    return record.status != "ok" or (record.iterations or 0) >= steps_at_most(study, cell)


def require_weights(folder: Cells, study: Study) -> None:
    """Raise UserError when a missing cell is pruned from weights that are no longer there."""
    for source in sorted({source for cell in missing(folder, study) for source in _below(cell, study)}):
        if (
            not folder.keeps_weights(source)
            and is_done(folder, study, source)
            and steps_at_most(study, source)
        ):
            raise UserError(
                f"{folder.folder(source)}: the weights that level {source.level + 1} was pruned from are gone, so this "
                "ladder cannot be taken up again (store.keep = 'masks' drops them once a run is complete; "
                "'living' keeps them)"
            )


def require_whole(folder: Cells) -> dict[Cell, CellRecord]:
    """What the cells say. Raises UserError unless every cell is whole and the starts that they rest on are there; those
    of a replicate whose dense network is to be trained again come back with it."""
    looked_at, records = set[str](), folder.records()
    dense = {cell.replicate for cell in records if (cell.level, cell.arm, cell.draw) == (0, TICKET, 0)}
    for cell, record in records.items():
        for digest in record.starts - looked_at if cell.replicate in dense else ():
            if wrong := folder.start_fault(digest):
                advice = folder.again(folder.writer(digest))
                raise UserError(f"{folder.start_file(digest)}: {wrong}; {advice}")
            looked_at.add(digest)
    return records


def is_whole(folder: Cells, cell: Cell) -> bool:
    """Whether a cell is done and has all its files, and the starts that it rests on are there."""
    if not folder.has(cell):
        return False
    try:
        record = folder.record(cell)
    except UserError:
        return False
    return not any(fault(folder.start_file(digest)) for digest in record.starts)


def _below(cell: Cell, study: Study) -> Iterator[Cell]:
    """The cells that the masks on the way down to this one are pruned from."""
    for level in range(cell.level):
        yield Cell(cell.replicate, level, study.pruned_arms[-1] if level else TICKET, 0)
        if level and cell.arm in study.ladder_arms:
            yield Cell(cell.replicate, level, cell.arm, cell.draw)


def forget(folder: Cells) -> None:
    """Drop the weights that nothing is pruned from any more (store.keep = "masks")."""
    for cell in folder.cells():
        folder.forget_weights(cell)


State = Literal["running", "unfinished", "finished"]
WORDS = {
    "running": "still running",
    "unfinished": "not finished, and nobody is training it now",
    "finished": "finished",
}
"""What to say of a run in each state."""


@dataclass(frozen=True)
class Row:
    """The cells of one arm at one level; `test` is the mean of their metric on the test set at early stop, or None."""

    level: int
    arm: str
    done: int
    planned: int
    failed: int
    test: float | None


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
    metric: Metric = ACCURACY


def headway(
    run: Cells,
    study: Study,
    running: bool,
    beside: Mapping[str, tuple[Cells, Study]] | None = None,
    at_a_time: int = 1,
    known: dict[Cell, CellRecord] | None = None,
) -> Headway:
    """How far a run of the study is now; `running`: a process is training it. `beside` are ladders that its arms take
    from, by what they are called; so many stacks are trained `at_a_time`. The run's records are `known`, if they were
    just read. Reads only."""
    done, left, planned, rows, pace = 0, 0, 0, list[Row](), None
    for name, (folder, part) in {**(beside or {}), "": (run, study)}.items():
        there = known if known is not None and folder is run else folder.records()
        wanted = part.cells()
        left += len(_lacking(folder, part, there, wanted))
        own = _rows(there, wanted, name)
        done, planned, rows = done + len(there), planned + sum(row.planned for row in own), rows + own
        trained = [cell for cell, record in there.items() if record.iterations]
        pace = (_pace(folder, trained) if running else None) or pace
    state: State = "running" if running else "unfinished" if left else "finished"
    return Headway(
        run=run.path.name,
        title=title_of(study),
        state=state,
        done=done,
        planned=planned,
        seconds_left=pace.left(left) / max(at_a_time, 1) if pace and state == "running" else None,
        rows=tuple(rows),
        metric=METRICS[study.recipe.metric],
    )


def _rows(records: dict[Cell, CellRecord], planned: Sequence[Cell], name: str) -> list[Row]:
    """A row for each level and arm; the arm is called `name` where there is one."""
    groups: dict[tuple[int, str], list[Cell]] = defaultdict(list)
    for cell in dict.fromkeys((*planned, *records)):
        groups[cell.level, cell.arm].append(cell)
    rows = []
    for (level, arm), cells in sorted(groups.items(), key=lambda g: (g[0][0], ticket_first(g[0][1]))):
        found = [records[cell] for cell in cells if cell in records]
        good = [record.early_stop_test for record in found if record.status == "ok"]
        known = [value for value in good if value is not None]
        mean = fmean(known) if known else None
        rows.append(Row(level, name or arm, len(found), len(cells), len(found) - len(good), mean))
    return rows


@dataclass(frozen=True)
class _Landed:
    """When the last cell landed, and the seconds that a cell of its level took (sparser ones may be faster)."""

    when: float
    seconds: float

    def left(self, cells: int) -> float:
        """What so many cells will take at this pace, less the time since then."""
        return max(0.0, self.seconds * cells - max(0.0, time.time() - self.when))


def _pace(run: Cells, done: Sequence[Cell]) -> _Landed | None:
    if not done:
        return None
    landed = {cell: (run.folder(cell) / "cell.json").stat().st_mtime for cell in done}
    last = max(done, key=landed.__getitem__)
    recent = [cell for cell in done if cell.level == last.level]
    return _Landed(landed[last], fmean(run.seconds(cell) for cell in recent))


class Progress(Protocol):
    """What is told how far a run is, to show it. Units are network-iterations: one optimizer step of one network."""

    def begin(self, total: int, done: int) -> None: ...

    def turn_to(self, part: str) -> None:
        """What follows is of this part: ladders beside the run, by their kind, or the run itself, ''."""

    def advance(self, steps: int, cells: Sequence[Cell]) -> None: ...

    def landed(self, drawn: Sequence[Drawn]) -> None: ...


class Silent:
    """Shows nothing."""

    def begin(self, total: int, done: int) -> None:
        pass

    def turn_to(self, part: str) -> None:
        pass

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        pass

    def landed(self, drawn: Sequence[Drawn]) -> None:
        pass
