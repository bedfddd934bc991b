"""A run on disk: a folder that a person can read and that rebuilds itself (DESIGN, Store).

    study.toml        the whole resolved spec       environment.json  versions, device, commit, engine record, and
                      what decides the cells and what the network computes, so that an edit of either is found
    cells/r0/L03/ticket/0/  mask.safetensors  end.safetensors  best.safetensors  history.parquet  cell.json  timing.json
    cells/r0/L00/ticket/0/early-bird-L03.safetensors   where the dense training was watched: a mask, and distances
    starts/<digest>.safetensors   the weights that networks start from, once each
    results.parquet   one row a cell                hypotheses.json   what was claimed, and when
    verdicts.json     what came of the claims        track/NAME       what a tracker was told
    measures.parquet, decisions.parquet, consensus.parquet            of the last comparison
    connect/          copies trained with another data order, and what lies between networks

A cell is written beside its place and renamed into it: it is whole or it is not there. Everything but
timing.json, environment.json, hypotheses.json (it holds times), track/ and the report is bit-equal between equal runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout

from tombola import views
from tombola.errors import UserError
from tombola.files import read_json, read_tensors, write_bytes, write_json
from tombola.lottery import TICKET, Cell, Drawn, Ticket
from tombola.masks import Mask, restore
from tombola.models import State
from tombola.study.load import parse_study, read_text
from tombola.study.spec import Study
from tombola.study.unedited import require_unedited
from tombola.study.whole import WEIGHT_FILES, fault, files_of, starts_of
from tombola.training import NUMBERS, Bird, Trained

LOCK = ".lock"
CELL = re.compile(r"r(\d+)/L(\d+)/([^/]+)/(\d+)")


class Run:
    """A run folder, for reading and for writing one cell at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[Any, ...], Study] | None = None
        self._whole: set[Cell] = set()
        """Cells that were found whole: they do not change."""

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises UserError when the folder holds none."""
        if not (path / "study.toml").is_file():
            raise UserError(f"{path}: not a run folder (no study.toml in it)")
        return cls(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """For notebooks: how far it is, and the mean test accuracy at early stop of each arm at each level."""
        from tombola.study.headway import WORDS, headway  # it reads runs, so it stands above this file

        if not (self.path / "study.toml").is_file():
            return views.card(f"Run {self.path.name}: nothing is stored yet")
        now = headway(self)
        levels = sorted({row.level for row in now.rows})
        means = {
            (row.arm, row.level): "" if row.accuracy is None else f"{100 * row.accuracy:.2f}"
            for row in now.rows
        }
        arms = dict.fromkeys(row.arm for row in now.rows)
        rows = [[level, *(means.get((arm, level), "") for arm in arms)] for level in levels]
        said = f"Run {now.run}: {now.title}. {now.done} of {now.planned} cells done, {WORDS[now.state]}"
        heads = ["level", *(f"{arm}, test %" for arm in arms)]
        return views.card(said, views.table(heads, rows))

    @property
    def study(self) -> Study:
        """The spec that the folder holds. Raises UserError where it is not that of the cells any more."""
        path = self.path / "study.toml"
        state = tuple(_state(self.path / name) for name in ("study.toml", "environment.json"))
        if self._read is None or self._read[0] != state:  # read once, and again when a file has changed
            study = parse_study(read_text(path), str(path))
            require_unedited(self.path, study, self.environment)
            self._read = state, study
        return self._read[1]

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device and engine record."""
        path = self.path / "environment.json"
        return _table(path) if path.exists() else {}

    def is_locked(self) -> bool:
        """Whether a process is running the study now."""
        if not (self.path / LOCK).exists():
            return False
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False

    def is_foreign(self) -> bool:
        """Whether the folder holds something and no study. Half a study.toml does not count: a process that
        was killed in its first moment leaves it."""
        names = [path.name for path in self.path.iterdir()]
        ours = (LOCK, ".study.toml.*.tmp")
        return "study.toml" not in names and any(
            not any(fnmatchcase(name, own) for own in ours) for name in names
        )

    def write_study(self, study: Study) -> None:
        """Write study.toml, unless it holds the same already."""
        path, text = self.path / "study.toml", study.to_toml().encode()
        if not path.exists() or path.read_bytes() != text:
            write_bytes(path, text)

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json, unless it holds the same already."""
        if self.environment != environment:
            write_json(self.path / "environment.json", environment)

    # --- cells -----------------------------------------------------------------------------------------

    def folder(self, cell: Cell) -> Path:
        """Where a cell lies."""
        return self.path / "cells" / str(cell)

    def has(self, cell: Cell) -> bool:
        """Whether the cell is done. Raises UserError for a folder that is there without its record."""
        folder = self.folder(cell)
        if folder.exists() and not (folder / "cell.json").is_file():
            raise UserError(f"{folder}: holds no cell.json; {self.again(cell)}")
        return folder.exists()

    def cells(self) -> list[Cell]:
        """The cells that are done, in order. One that has lost its record is among them, not passed over."""
        root = self.path / "cells"
        names = [path.relative_to(root).as_posix() for path in root.glob("r*/L*/*/*")]
        return sorted(cell_named(name) for name in names if CELL.fullmatch(name))

    def record(self, cell: Cell) -> dict[str, Any]:
        """The contents of cell.json. Raises UserError where it is lost or broken, or another file of the cell is, and
        says what to do."""
        path = self.folder(cell) / "cell.json"
        self.has(cell)
        with self._advised(cell):
            record = _table(path)
            for key in ("status", "density", "start", "rewind", *NUMBERS):
                if key not in record:
                    raise UserError(f"{path}: not the record of a cell (it has no '{key}')")
            for other in files_of(path.parent, record) if cell not in self._whole else ():
                if wrong := fault(other):
                    raise UserError(f"{other}: {wrong}")
        self._whole.add(cell)
        return record

    def again(self, cell: Cell) -> str:
        """What to do to have a cell trained again, to end a sentence with."""
        masks_only = self.study.store.keep == "masks"
        if masks_only and cell.level and not self.keeps_weights(Cell(cell.replicate, 0, TICKET, 0)):
            return (
                "the weights that it was pruned from are gone (store.keep = 'masks'), so move "
                f"{self.path} away and run the study again"
            )
        before = f"delete {self.folder(cell)} and " if self.folder(cell).exists() else ""
        return f"{before}run the study again, which trains this cell anew"

    def seconds(self, cell: Cell) -> float:
        """How long a cell trained: its share of its stack."""
        path = self.folder(cell) / "timing.json"
        with self._advised(cell):
            seconds = _table(path).get("seconds")
            if not isinstance(seconds, int | float):
                raise UserError(f"{path}: holds no number of seconds")
        return float(seconds)

    def start_file(self, digest: str) -> Path:
        """Where a start of this digest lies, or would."""
        return self.path / "starts" / f"{digest}.safetensors"

    def keeps_weights(self, cell: Cell) -> bool:
        """Whether the cell's end weights are there."""
        return (self.folder(cell) / "end.safetensors").is_file()

    def bird_file(self, replicate: int, level: int) -> Path:
        """Where the early-bird mask of a level lies, or would: with the dense network that it was seen in."""
        return self.folder(Cell(replicate, 0, TICKET, 0)) / bird_name(level)

    def birds(self, replicate: int) -> tuple[Bird, ...]:
        """What was seen of the dense network of a replicate, one entry a level; empty where nobody watched."""
        dense = Cell(replicate, 0, TICKET, 0)
        files = self.folder(dense).glob("early-bird-L*.safetensors")
        with self._advised(dense):
            return tuple(sorted(map(Bird.load, files), key=lambda bird: bird.level))

    def mask(self, cell: Cell) -> Mask:
        """The mask of a cell."""
        with self._advised(cell):
            return Mask.load(self.folder(cell) / "mask.safetensors")

    def start_weights(self, digest: str) -> State:
        """The weights in `starts` of this digest. Raises UserError where they are lost or broken."""
        try:
            return read_tensors(self.start_file(digest))[0]
        except UserError as problem:
            raise UserError(f"{problem}; {self.again(self.writer(digest))}") from None

    def writer(self, digest: str) -> Cell:
        """The cell whose training writes a start: of those that begin from it a ticket's, the densest."""
        named = [cell for cell in self.cells() if digest in starts_of(self.record(cell))]
        return min(named, key=lambda cell: (cell.arm != TICKET, cell.level, cell))

    def start(self, cell: Cell) -> State:
        """The state that a cell's training began from; dead weights are zero unless its arm gave them values. Of a
        search it is the initial state, under the mask that was found."""
        mask, where = self.mask(cell), self.record(cell)["start"]
        if where is None:
            raise UserError(f"{self.folder(cell)}: the study keeps masks only, the start was not stored")
        state = self.start_weights(where["digest"])
        if where.get("dead"):
            return state
        return mask.apply(restore(state, mask) if where["living"] else state)

    def weights(self, cell: Cell, which: str) -> State:
        """The `end` or `best` state of a cell. Raises UserError when it was not kept."""
        path = self.folder(cell) / f"{which}.safetensors"
        keep = self.study.store.keep
        if not path.is_file() and keep == "masks":
            raise UserError(f"{path}: these weights were not kept (store.keep = '{keep}')")
        with self._advised(cell):
            state, metadata = read_tensors(path)
            if not isinstance(metadata, dict) or metadata.get("kept") not in ("living", "all"):
                raise UserError(
                    f"{path}: not the weights of a cell (its metadata do not say which were kept)"
                )
        return restore(state, self.mask(cell)) if metadata["kept"] == "living" else state

    def history(self, cell: Cell) -> pl.DataFrame:
        """Learning curves of a cell: iteration, split, loss, accuracy."""
        path = self.folder(cell) / "history.parquet"
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as problem:
            first = str(problem).partition("\n")[0]
            raise UserError(f"{path}: not a readable parquet file ({first}); {self.again(cell)}") from None

    def ticket(self, cell: Cell) -> Ticket:
        """A cell as a ticket. Raises UserError for one whose dead weights are not zero, which no ticket can hold."""
        record = self.record(cell)
        if record["start"] and record["start"].get("dead"):
            raise UserError(
                f"{self.folder(cell)}: arm '{cell.arm}' freezes dead weights at other values than zero, and a ticket's "
                "are zero; its scores are in the run's results"
            )
        end = self.weights(cell, "end") if self.keeps_weights(cell) else None
        start = self.start(cell) if record["start"] else None
        study = self.study
        provenance = {
            "cell": str(cell),
            "study": study.folder,
            "seed": study.seed,
            "model": study.model.model_dump(mode="json"),
            "data": study.data.model_dump(mode="json"),
            "recipe": study.recipe_at(cell.level).model_dump(mode="json"),
            "status": record["status"],
            "function": self.environment.get("function"),
        }
        keys = self.environment.get("network", {}).get("state_dict")  # not noted in runs of old
        return Ticket(self.mask(cell), start, end, provenance, keys)

    def recall(self, cell: Cell) -> Drawn:
        """A finished cell as the lottery needs it: its status, and the weights of one that may have been pruned."""
        record = self.record(cell)
        trained, found = None, None
        if cell.arm == self.study.search_arm and record["status"] == "ok":
            found = self.mask(cell)
        if cell.arm in self.study.source_arms and record["status"] == "ok" and self.keeps_weights(cell):
            trained = self._trained(cell, record)
        return Drawn(cell, record["status"], None, trained, found)

    def forget_weights(self, cell: Cell) -> None:
        """Drop the weights of a cell that nothing is pruned from any more (store.keep = "masks")."""
        for name in WEIGHT_FILES:
            (self.folder(cell) / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written. Only for the holder of the lock."""
        for pattern in ("cells/r*/L*/*/.*.tmp", "cells/r*/L00/*/*/.*.tmp", "starts/.*.tmp", ".*.tmp"):
            for path in self.path.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --- inside ----------------------------------------------------------------------------------------

    @contextmanager
    def _advised(self, cell: Cell) -> Iterator[None]:
        """Within it, a mistake found in the files of a cell ends with what to do."""
        try:
            yield
        except UserError as problem:
            raise UserError(f"{problem}; {self.again(cell)}") from None

    def _trained(self, cell: Cell, record: dict[str, Any]) -> Trained:
        end = self.weights(cell, "end")
        rewind = record["rewind"]
        snapshot = self.start_weights(rewind) if rewind else None
        numbers = {name: record[name] for name in NUMBERS}
        birds = self.birds(cell.replicate) if cell.level == 0 else ()
        return Trained(
            end=end, best=end, snapshot=snapshot, history={}, diverged=False, birds=birds, **numbers
        )


def cell_named(name: str) -> Cell:
    """The cell called `r0/L03/ticket/0`. Raises UserError for another name."""
    match = CELL.fullmatch(name)
    if not match:
        raise UserError(f"'{name}' is not the name of a cell (r0/L03/ticket/0)")
    return Cell(int(match[1]), int(match[2]), match[3], int(match[4]))


def bird_name(level: int) -> str:
    """What the file of a level's early-bird mask is called."""
    return f"early-bird-L{level:02d}.safetensors"


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _table(path: Path) -> dict[str, Any]:
    """A JSON object in a file; anything else is a UserError that names the file."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
