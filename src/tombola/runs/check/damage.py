"""Every file of a run, read and held against its digest: what is damaged, and how.

Readers check what they read; here everything is read at once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tombola.errors import UserError
from tombola.files import digest_of, read_object, read_tensors
from tombola.lottery.cell import Cell
from tombola.runs.beside.copies import FOLDER, CopyRun
from tombola.runs.cells.integrity import fault
from tombola.runs.cells.record import TIMING_FILE, WEIGHT_FILES, CellRecord, place_of, timing_in
from tombola.runs.environment_file import ENVIRONMENT_FILE
from tombola.runs.folder import Run
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.runs.unedited import is_edited
from tombola.seals import OTHER, require_digest, unsealed
from tombola.training.search.bird import Bird

RESULTS = "results.parquet"


@dataclass(frozen=True)
class Damage:
    """One damaged file: where it lies, what is wrong, and the folder of cells and the cell that it is of. No cell:
    a start, or a file of the run's own."""

    path: Path
    wrong: str
    folder: Run
    cell: Cell | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.wrong}"


def damages_of(run: Run) -> list[Damage]:
    """What is damaged in a run: its own files, its cells and starts, and those of ladders and copies beside it."""
    own = list(_own(run))
    if any(each.path.name in (ENVIRONMENT_FILE, "study.toml") for each in own):
        beside: Sequence[Run] | None = None  # nothing says which there are
    else:
        beside = (*run.ladders(), *copies_of(run))
    folders = (run, *(beside or ()))
    found = [*own, *(each for folder in folders for each in _in_folder(folder, folder is not run))]
    spoilt = any(each.cell or each.path.parent.name == "starts" for each in found)
    return found if beside is None or spoilt else [*found, *_stale_results(run)]


def copies_of(run: Run) -> list[CopyRun]:
    """The folders of copies beside a run."""
    return [CopyRun(run, path.name) for path in sorted((run.path / FOLDER).glob("*")) if path.is_dir()]


def _own(run: Run) -> Iterator[Damage]:
    """The tables of the run itself, and the tables that one of them has the digests of."""
    if not (run.path / ENVIRONMENT_FILE).exists() and run.cells():
        yield Damage(run.path / ENVIRONMENT_FILE, "is missing", run)
    edited = list(_tried(run, None, run.path / "study.toml", _require_last, run))
    yield from (each for each in edited if not each.wrong.startswith(str(run.path / ENVIRONMENT_FILE)))
    for path in sorted(run.path.glob("*.json")):
        try:
            digests = _table(run, path).get("digests", {})
        except UserError as problem:
            yield Damage(path, str(problem).removeprefix(f"{path}: "), run)
            continue
        for name, digest in digests.items():
            yield from _tried(run, None, run.path / name, require_digest, run.path / name, digest)


def _require_last(run: Run) -> None:
    """Raise UserError where study.toml cannot be used, or was changed in what may change."""
    if is_edited(run.study, run.environment):
        raise UserError(
            "was edited or damaged since the run was last run, in its title, extent, arms or claims"
        )


def _table(run: Run, path: Path) -> dict[str, Any]:
    own = path.name == ENVIRONMENT_FILE
    return run.environment if own else unsealed(path, read_object(path), path.name)


def _in_folder(folder: Run, beside: bool) -> Iterator[Damage]:
    """Its cells, and the starts that they rest on. `beside`: a folder within the run's, with a record of its own."""
    path = folder.path / ENVIRONMENT_FILE
    if beside and path.exists():
        yield from _tried(folder, None, path, lambda: folder.environment)
    starts = set[str]()
    sealed = not any(_tried(folder, None, path, lambda: folder.environment)) and folder.seals
    for cell in folder.cells():
        yield from cell_damages(folder, cell, sealed)
        record = record_or_none(folder, cell)
        starts |= record.starts if record else set()
    if isinstance(folder, CopyRun):
        return  # copies start from what lies in the run's folder
    starts |= {file.stem for file in (folder.path / "starts").glob("[!.]*.safetensors")}
    for digest in sorted(starts):
        if wrong := start_damage(folder, digest):
            yield Damage(folder.start_file(digest), wrong, folder)


def cell_damages(folder: Run, cell: Cell, sealed: bool) -> Iterator[Damage]:
    """The damaged files of a cell; `sealed`: its record must have a seal."""
    place, path = folder.folder(cell), folder.folder(cell) / "cell.json"
    record = record_or_none(folder, cell)
    if record is None:
        yield from _tried(folder, cell, path, CellRecord.read, path, cell, folder.ladder)
        return
    if record.seal is None and sealed:
        yield Damage(path, "has lost its seal", folder, cell)
    digests = dict(record.digests or {})
    for name in dict.fromkeys([*record.files(), *digests]):
        dropped = name in WEIGHT_FILES and not (place / name).exists() and _drops_weights(folder)
        if name == TIMING_FILE:
            yield from _tried(
                folder, cell, place / name, timing_in, place / name, place_of(cell, folder.ladder)
            )
        elif not dropped:
            yield from _tried(folder, cell, place / name, _require_whole, place / name, digests.get(name))
    for file in sorted(place.glob("early-bird-L*.safetensors")):
        yield from _tried(folder, cell, file, Bird.load, file, f"{place_of(cell, folder.ladder)}/{file.name}")


def _drops_weights(folder: Run) -> bool:
    """Whether weights go when a run is complete; where its study cannot be read, nothing says that they do not."""
    try:
        return folder.keep == "masks"
    except UserError:
        return True


def _require_whole(path: Path, digest: str | None) -> None:
    if wrong := fault(path):
        raise UserError(f"{path}: {wrong}")
    require_digest(path, digest)


def record_or_none(folder: Run, cell: Cell) -> CellRecord | None:
    """What cell.json says, whatever became of the files beside it; None where it is damaged."""
    try:
        return CellRecord.read(folder.folder(cell) / "cell.json", cell, folder.ladder)
    except UserError:
        return None


def start_damage(folder: Run, digest: str) -> str:
    """What is wrong with a start; "" where it is the one that its name says."""
    path = folder.start_file(digest)
    if wrong := fault(path):
        return wrong
    try:
        return "" if digest_of(read_tensors(path)[0]) == digest else OTHER
    except UserError as problem:
        return str(problem).removeprefix(f"{path}: ")


def _stale_results(run: Run) -> Iterator[Damage]:
    """The table of results, which is made of the cells when they are all there."""
    path, made = run.path / RESULTS, io.BytesIO()
    if not path.exists() or missing(run, run.study):
        return
    results_of(run, timed=False).write_parquet(made)
    if path.read_bytes() != made.getvalue():
        yield Damage(path, OTHER, run)


def _tried(
    folder: Run, cell: Cell | None, path: Path, read: Callable[..., object], *arguments: object
) -> Iterator[Damage]:
    """A damage, where reading fails."""
    try:
        read(*arguments)
    except UserError as problem:
        yield Damage(path, str(problem).removeprefix(f"{path}: "), folder, cell)
