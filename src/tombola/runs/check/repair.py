"""Mending a run: cells that are damaged are set aside and trained again, just those.

On the same kind of processor they come out with the same bits; elsewhere it is said that they differ.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.beside.copies import CopyRun, copy_of, train_copies
from tombola.runs.cells.record import TIMING_FILE
from tombola.runs.check.damage import RESULTS, Damage, damages_of, record_or_none
from tombola.runs.environment import EngineRecord
from tombola.runs.environment_file import ENVIRONMENT_FILE
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study

ASIDE = "damaged"
"""Where damaged cells lie until others are trained."""
DERIVED = {
    **dict.fromkeys(
        ("measures.parquet", "decisions.parquet", "consensus.parquet", "compared.json"), "compare"
    ),
    **dict.fromkeys(("connect.parquet", "paths.parquet", "connected.json"), "connect"),
    **dict.fromkeys(("asked.parquet", "asked.json", "verdicts.json"), "verdicts"),
}
"""Files that are made of the cells -> the command that makes them again."""


@dataclass(frozen=True)
class Mended:
    """What became of a damage: a sentence, and whether all is now as it was."""

    said: str
    same: bool


def repair(run: Run, found: Sequence[Damage], options: RunOptions) -> list[Mended]:
    """Train the damaged cells of a run again, and remove damaged tables that are made of them. What cannot be mended is
    left as it is and said. Raises UserError where nothing can be trained: the study, its data or its engine record are
    not there; then nothing has changed."""
    lost = [each for each in found if each.path.name in ("study.toml", ENVIRONMENT_FILE)]
    if lost:
        raise UserError(f"{lost[0]}; nothing can be trained without it, so put it back from a copy")
    if run.path.resolve().name != run.study.folder:
        raise UserError(f"{run.path}: to have cells trained again, call the folder {run.study.folder}")
    mended = [_removed(run, each) for each in found if each.path.name in DERIVED and each.cell is None]
    kept = [each for each in found if each.cell is None and each.path.name == "hypotheses.json"]
    mended += [
        Mended(f"{each}; it says what was claimed when, which nothing can tell again", False) for each in kept
    ]
    again, hopeless = _to_train(found)
    mended += [Mended(f"{folder.folder(cell)}: {folder.again(cell)}", False) for folder, cell in hopeless]
    if not again and not any(each.path.name == RESULTS for each in found):
        return mended
    _, dataset, net = options.bind(run.study)  # raises before anything is moved
    with _aside(run, found, again) as places:
        fresh = run_study(run.study, replace(options, out=run.path.parent))
        record = EngineRecord.of(
            fresh, net, dataset, run.study.seed, run.study.recipe, False, False, device=options.device
        )
        for folder in {folder.path: folder for folder, _ in again if isinstance(folder, CopyRun)}.values():
            cells = [cell for each, cell in again if each.path == folder.path]
            alike = {(cell.level, cell.arm) for cell in cells}
            wanted = [*cells, *(cell for cell in folder.cells() if (cell.level, cell.arm) in alike)]
            data = record.resident(dataset, run.study.data.normalisation, options.device)
            train_copies(
                fresh, {copy_of(folder, cell) for cell in wanted}, net, data, record, options.progress
            )
        mended += [_compared(run, old, folder.folder(cell), found) for (folder, cell), old in places.items()]
    left = {each.path for each in damages_of(Run(run.path))}
    mended += [Mended(f"{each.path}: made again", True) for each in found if each.path.name == RESULTS]
    return [
        *mended,
        *(Mended(f"{path}: is still damaged", False) for path in sorted(left - {e.path for e in kept})),
    ]


def _to_train(found: Sequence[Damage]) -> tuple[list[tuple[Run, Cell]], list[tuple[Run, Cell]]]:
    """The cells to be trained again, with those that wrote a start that is damaged; and those that cannot be."""
    cells = {(each.folder.path, each.cell): each.folder for each in found if each.cell}
    for each in found:
        if each.cell is None and each.path.parent.name == "starts":
            cell = _writer(each.folder, each.path.stem)
            cells |= {(each.folder.path, cell): each.folder} if cell else {}
    again, hopeless = list[tuple[Run, Cell]](), list[tuple[Run, Cell]]()
    for (_, cell), folder in cells.items():
        gone = (
            folder.keep == "masks"
            and cell.level
            and not folder.keeps_weights(replace(cell, level=0, arm="ticket", draw=0))
        )
        (hopeless if gone else again).append((folder, cell))
    return again, hopeless


def _writer(folder: Run, digest: str) -> Cell | None:
    """The cell that writes a start when it is trained; None where no record that is whole names it."""
    records = {cell: record_or_none(folder, cell) for cell in folder.cells()}
    named = [cell for cell, record in records.items() if record and digest in record.starts]
    return min(named, key=lambda cell: (cell.arm != "ticket", cell.level, cell), default=None)


def _removed(run: Run, damage: Damage) -> Mended:
    command = DERIVED[damage.path.name]
    for name in (each for each in DERIVED if DERIVED[each] == command):  # they are of one comparison
        (run.path / name).unlink(missing_ok=True)
    return Mended(f"{damage.path}: removed; tombola {command} {run.path} makes it again", True)


@contextmanager
def _aside(
    run: Run, found: Sequence[Damage], again: Sequence[tuple[Run, Cell]]
) -> Iterator[dict[tuple[Run, Cell], Path]]:
    """Within it the cells, and damaged starts, are out of the way; where training fails they are put back."""
    place = run.path / ASIDE
    moved = dict[Path, Path]()

    def move(path: Path) -> Path:
        to = place / path.relative_to(run.path)
        to.parent.mkdir(parents=True, exist_ok=True)
        path.replace(to)
        moved[path] = to
        return to

    try:
        starts = [
            e.path for e in found if e.cell is None and e.path.parent.name == "starts" and e.path.exists()
        ]
        for path in starts:
            move(path)
        yield {(folder, cell): move(folder.folder(cell)) for folder, cell in again}
    except BaseException:
        for path, to in moved.items():
            if not path.exists():
                to.replace(path)
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _compared(run: Run, old: Path, new: Path, found: Sequence[Damage]) -> Mended:
    """Whether a cell came out as it was, as far as the files tell that were not damaged."""
    broken = {each.path for each in found}
    whole = defaultdict[bool, list[str]](list)
    for file in sorted(old.iterdir()):
        if file.is_file() and file.name != TIMING_FILE and new / file.name not in broken:
            whole[(new / file.name).is_file() and (new / file.name).read_bytes() == file.read_bytes()].append(
                file.name
            )
    if not whole[False]:
        return Mended(f"{new}: trained again, to the same bits", True)
    then = run.environment.get("processor") or "another processor"
    return Mended(
        f"{new}: trained again, and it differs ({', '.join(whole[False])}); the run was made on {then}, and what was "
        "pruned from this cell rests on what it was",
        False,
    )
