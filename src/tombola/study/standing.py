"""What of a study is there, and what is still to be trained."""

from __future__ import annotations

from collections.abc import Iterator

from tombola.errors import UserError
from tombola.lottery import TICKET, Cell
from tombola.study.plan import planned_cells
from tombola.study.spec import Study
from tombola.study.store import Run
from tombola.study.whole import fault, starts_of
from tombola.training import EARLY_BIRD


def missing(folder: Run, study: Study) -> list[Cell]:
    """Cells of the study that are still to be trained: not done, and not above the end of a ladder whose
    ticket, or of an arm's own ladder whose network, collapsed or diverged. Where a search failed there is no ticket.
    A dense network of which early birds are missing has to be trained again, to be watched."""
    ends: dict[int | tuple[int, str, int], int] = {}
    for cell in folder.cells():
        if cell.arm == study.search_arm and folder.record(cell)["status"] != "ok":
            ends[cell.replicate] = cell.level - 1
        elif cell.arm in {*study.pruned_arms, *study.ladder_arms} and folder.record(cell)["status"] != "ok":
            shared = cell.arm in study.pruned_arms
            ends[cell.replicate if shared else (cell.replicate, cell.arm, cell.draw)] = cell.level

    def on_its_ladders(cell: Cell) -> bool:
        ladders = cell.replicate, (cell.replicate, cell.arm, cell.draw)
        return all(cell.level <= ends.get(ladder, study.levels) for ladder in ladders)

    return [
        cell for cell in planned_cells(study) if on_its_ladders(cell) and not is_done(folder, study, cell)
    ]


def is_done(folder: Run, study: Study, cell: Cell) -> bool:
    """Whether a cell is there and, of a dense network that is watched, what was seen for every level of the study."""
    if not folder.has(cell) or cell.level > 0 or study.pruning.mode != EARLY_BIRD:
        return folder.has(cell)
    seen = all(folder.bird_file(cell.replicate, level).exists() for level in range(1, study.levels + 1))
    return seen or folder.record(cell)["status"] != "ok"


def require_weights(folder: Run, study: Study) -> None:
    """Raise UserError when a missing cell is pruned from weights that are no longer there."""
    for source in sorted({source for cell in missing(folder, study) for source in _below(cell, study)}):
        if folder.has(source) and not folder.keeps_weights(source):
            raise UserError(
                f"{folder.folder(source)}: the weights that level {source.level + 1} was pruned from are gone, so this "
                "ladder cannot be taken up again (store.keep = 'masks' drops them once a run is complete; "
                "'living' keeps them)"
            )


def require_whole(folder: Run) -> None:
    """Raise UserError unless every cell is whole and the starts that they rest on are there; those of a replicate whose
    dense network is to be trained again come back with it."""
    looked_at = set[str]()
    for cell in folder.cells():
        starts = starts_of(folder.record(cell)) - looked_at
        for digest in starts if folder.has(Cell(cell.replicate, 0, TICKET, 0)) else ():
            if wrong := fault(folder.start_file(digest)):
                advice = folder.again(folder.writer(digest))
                raise UserError(f"{folder.start_file(digest)}: {wrong}; {advice}")
            looked_at.add(digest)


def is_whole(folder: Run, cell: Cell) -> bool:
    """Whether a cell is done and has all its files, and the starts that it rests on are there."""
    if not folder.has(cell):
        return False
    try:
        record = folder.record(cell)
    except UserError:
        return False
    return not any(fault(folder.start_file(digest)) for digest in starts_of(record))


def _below(cell: Cell, study: Study) -> Iterator[Cell]:
    """The cells that the masks on the way down to this one are pruned from."""
    for level in range(cell.level):
        yield Cell(cell.replicate, level, study.pruned_arms[-1] if level else TICKET, 0)
        if level and cell.arm in study.ladder_arms:
            yield Cell(cell.replicate, level, cell.arm, cell.draw)


def forget(folder: Run) -> None:
    """Drop the weights that nothing is pruned from any more (store.keep = "masks")."""
    for cell in folder.cells():
        folder.forget_weights(cell)
