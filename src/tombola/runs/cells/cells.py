"""The cells of a run folder, read: each is whole or not there, and so are the weights they start from."""

from __future__ import annotations

import gc
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from tombola.errors import UserError, notice
from tombola.files import digest_of, read_parquet, read_parquets, read_tensors
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask, restore
from tombola.models.state import State
from tombola.runs.cells.index import MANY, Entry, Index
from tombola.runs.cells.integrity import fault, suspect
from tombola.runs.cells.record import TIMING_FILE, WEIGHT_FILES, CellRecord, place_of, timing_in
from tombola.runs.cells.walk import cells_in
from tombola.seals import OTHER, require_digest
from tombola.training.search.bird import Bird
from tombola.training.trained import NUMBERS, Trained


@contextmanager
def _uncollected() -> Iterator[None]:
    """Within it nobody looks for garbage among what is read, again and again while it grows: there is none."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def bird_name(level: int) -> str:
    """What the file of a level's early-bird mask is called."""
    return f"early-bird-L{level:02d}.safetensors"


AT_ONCE = 500
"""Files of learning curves that are read together."""
HISTORY = {"iteration": pl.Int64, "split": pl.String, "loss": pl.Float64, "accuracy": pl.Float64}


class Cells(ABC):
    """The cells of a run folder, and the weights that they start from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path / "cells"
        self._whole: dict[Cell, CellRecord] = {}
        """Cells that were found whole: they do not change."""
        self._seconds: dict[Cell, float] = {}
        """How long cells trained, of those that an index was asked for."""
        self._sound: set[str] = set()
        """Starts that were found to be those of their digest."""
        self._whole_starts: set[str] = set()
        """Starts that are whole as far as that shows without reading them."""
        self._said = False
        self._listed: list[Cell] | None = None

    ladder = ""
    """What the cells are, where they are not a run's own: donors, twins, copies."""

    @property
    @abstractmethod
    def seals(self) -> bool:
        """Whether cells are stored with digests: in all runs but those that were begun without."""

    @property
    @abstractmethod
    def keep(self) -> str:
        """Which weights are kept: "all", "living" or "masks"."""

    def folder(self, cell: Cell) -> Path:
        """Where a cell lies."""
        return self._root / str(cell)

    def has(self, cell: Cell) -> bool:
        """Whether the cell is done. Raises UserError for a folder that is there without its record."""
        folder = self.folder(cell)
        if folder.exists() and not (folder / "cell.json").is_file():
            raise UserError(f"{folder}: holds no cell.json; {self.again(cell)}")
        return folder.exists()

    def cells(self) -> list[Cell]:
        """The cells that are done, in order. One that has lost its record is among them, not passed over. Raises
        UserError for a folder that cannot be read."""
        return cells_in(str(self._root)) if self._listed is None else list(self._listed)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within it the cells are those that are done now, whatever lands meanwhile: what is made of them is of one
        moment, and the folder is walked once."""
        before = self._listed
        self._listed = self.cells()
        try:
            yield
        finally:
            self._listed = before

    def records(self) -> dict[Cell, CellRecord]:
        """What every cell.json says, in order; raises as `record`. Of many cells what the index says, where their files
        are as they were when it was written."""
        cells = self.cells()
        unknown = [cell for cell in cells if cell not in self._whole]
        if len(unknown) >= MANY:
            with _uncollected():
                self._look_up(unknown, cells)
        return {cell: self.record(cell) for cell in cells}

    def _look_up(self, unknown: list[Cell], cells: list[Cell]) -> None:
        """Know cells and starts by the index; where it lacks many, read those, and write it anew."""
        index, lacking = Index(self.path), list[Cell]()
        for cell in unknown:
            if entry := index.entry(cell):
                self._seconds[cell] = entry.seconds
                self._know(cell, entry.record)
            else:
                lacking.append(cell)
        many = len(lacking) >= max(MANY, len(cells) / 20)
        for cell in lacking if many else ():
            with suppress(UserError):  # what is wrong is for who asks for it, in order
                index.note(cell, lambda cell: Entry(self.record(cell), self.seconds(cell)))
        starts = {digest for record in self._whole.values() for digest in record.starts}
        seen = index.note_start if many else index.start_is_whole
        self._whole_starts |= {digest for digest in starts if seen(self.start_file(digest))}
        if many:
            index.store(cells, starts)

    def start_fault(self, digest: str) -> str:
        """What is wrong with a start, as far as that shows without reading it; "" where it is whole."""
        return "" if digest in self._whole_starts else fault(self.start_file(digest))

    def record(self, cell: Cell) -> CellRecord:
        """What cell.json says. Raises UserError where it is lost or damaged, or another file of the cell is missing or
        cut short, and says what to do."""
        if cell in self._whole:
            return self._whole[cell]
        folder = self.folder(cell)
        with self._advised(cell):
            record = self._read_record(cell, folder / "cell.json")
            for name in suspect(folder, record.files(), record.digests or {}):
                if wrong := fault(folder / name):
                    raise UserError(f"{folder / name}: {wrong}")
        self._know(cell, record)
        return record

    def _know(self, cell: Cell, record: CellRecord) -> None:
        if record.seal is None and not self._said:
            self._said = True
            notice(
                f"{self.path}: holds cells without digests, of an older Tombola; damage to them does not show"
            )
        self._whole[cell] = record

    def _read_record(self, cell: Cell, path: Path) -> CellRecord:
        try:
            return CellRecord.read(path, cell, self.ladder)
        except UserError:
            if not path.is_file():
                raise UserError(f"{path.parent}: holds no cell.json") from None
            raise

    def file(self, cell: Cell, name: str) -> Path:
        """Where a file of a cell lies. Raises UserError where its contents are not those that were stored, and says
        what to do."""
        path = self.folder(cell) / name
        digests = self.record(cell).digests or {}
        with self._advised(cell):
            require_digest(path, digests.get(name))
        return path

    def again(self, cell: Cell) -> str:
        """What to do to have a cell trained again, to end a sentence with."""
        masks_only = self.keep == "masks"
        if masks_only and cell.level and not self.keeps_weights(Cell(cell.replicate, 0, TICKET, 0)):
            return (
                "the weights that it was pruned from are gone (store.keep = 'masks'), so move "
                f"{self.path} away and run the study again"
            )
        before = f"delete {self.folder(cell)} and " if self.folder(cell).exists() else ""
        return f"{before}run the study again, which trains this cell anew"

    def seconds(self, cell: Cell) -> float:
        """How long a cell trained: its share of its stack."""
        if cell in self._seconds:
            return self._seconds[cell]
        with self._advised(cell):
            return timing_in(self.folder(cell) / TIMING_FILE, place_of(cell, self.ladder)).seconds

    def start_file(self, digest: str) -> Path:
        """Where a start of this digest lies, or would."""
        return self.path / "starts" / f"{digest}.safetensors"

    def keeps_weights(self, cell: Cell) -> bool:
        """Whether the cell's end weights are there."""
        return (self.folder(cell) / "end.safetensors").is_file()

    def bird_file(self, cell: Cell, level: int) -> Path:
        """Where the mask of a level lies, or would, that was made while a ticket trained: with that ticket."""
        return self.folder(cell) / bird_name(level)

    def birds(self, replicate: int) -> tuple[Bird, ...]:
        """What was seen of the tickets of a replicate while they trained, one entry a level; empty where none was
        watched."""
        files = (self.path / "cells" / f"r{replicate}").glob(
            f"L*/{TICKET}/0/{bird_name(0).replace('00', '*')}"
        )
        levels = {file: int(file.parents[2].name.removeprefix("L")) for file in files}
        found = [self.bird(Cell(replicate, level, TICKET, 0), file) for file, level in levels.items()]
        return tuple(sorted(found, key=lambda bird: bird.level))

    def bird(self, cell: Cell, path: Path) -> Bird:
        """What was seen of a ticket while it trained, in one of its files."""
        with self._advised(cell):
            return Bird.load(path, f"{place_of(cell, self.ladder)}/{path.name}")

    def mask(self, cell: Cell) -> Mask:
        """The mask of a cell."""
        with self._advised(cell):
            return Mask.load(self.file(cell, "mask.safetensors"))

    def start_weights(self, digest: str) -> State:
        """The weights in `starts` of this digest. Raises UserError where they are lost or damaged."""
        path = self.start_file(digest)
        try:
            state = read_tensors(path)[0]
            if digest not in self._sound and digest_of(state) != digest:
                raise UserError(f"{path}: {OTHER}")
        except UserError as problem:
            raise UserError(f"{problem}; {self.again(self.writer(digest))}") from None
        self._sound.add(digest)
        return state

    def writer(self, digest: str) -> Cell:
        """The cell whose training writes a start: of those that begin from it a ticket's, the densest."""
        named = [cell for cell in self.cells() if digest in self.record(cell).starts]
        return min(named, key=lambda cell: (cell.arm != TICKET, cell.level, cell))

    def start(self, cell: Cell) -> State:
        """The state that a cell's training began from; dead weights are zero unless its arm gave them values. Of a
        search it is the initial state, under the mask that was found."""
        mask, where = self.mask(cell), self.record(cell).start
        if where is None:
            raise UserError(f"{self.folder(cell)}: the study keeps masks only, the start was not stored")
        state = self.start_weights(where.digest)
        if where.dead:
            return state
        return mask.apply(restore(state, mask) if where.living else state)

    def weights(self, cell: Cell, which: str) -> State:
        """The `end` or `best` state of a cell. Raises UserError when it was not kept."""
        path = self.folder(cell) / f"{which}.safetensors"
        keep = self.keep
        if not path.is_file() and keep == "masks":
            raise UserError(f"{path}: these weights were not kept (store.keep = '{keep}')")
        with self._advised(cell):
            state, metadata = read_tensors(self.file(cell, path.name))
            if not isinstance(metadata, dict) or metadata.get("kept") not in ("living", "all"):
                raise UserError(
                    f"{path}: not the weights of a cell (its metadata do not say which were kept)"
                )
        return restore(state, self.mask(cell)) if metadata["kept"] == "living" else state

    def history(self, cell: Cell) -> pl.DataFrame:
        """Learning curves of a cell: iteration, split, loss, accuracy."""
        with self._advised(cell):
            frame = read_parquet(self.folder(cell) / "history.parquet", HISTORY)
            self.file(cell, "history.parquet")
            return frame

    def forget(self, cell: Cell) -> None:
        """Remove a cell, if it is there, to be written anew."""
        shutil.rmtree(self.folder(cell), ignore_errors=True)
        self._whole.pop(cell, None)

    def histories(self, cells: Sequence[Cell]) -> tuple[pl.DataFrame, list[int]]:
        """Learning curves of cells, one below the other, and how many rows each has."""
        frames, rows = [pl.DataFrame(schema=HISTORY)], list[int]()
        for begin in range(0, len(cells), AT_ONCE):
            some = cells[begin : begin + AT_ONCE]
            found = read_parquets([self.folder(cell) / "history.parquet" for cell in some], HISTORY)
            if found is None:
                own = [self.history(cell) for cell in some]
                found = pl.concat(own), [frame.height for frame in own]
            for cell in some:
                self.file(cell, "history.parquet")
            frames.append(found[0])
            rows += found[1]
        return pl.concat(frames), rows

    def forget_weights(self, cell: Cell) -> None:
        """Drop the weights of a cell that nothing is pruned from any more (store.keep = "masks")."""
        for name in WEIGHT_FILES:
            (self.folder(cell) / name).unlink(missing_ok=True)

    @contextmanager
    def _advised(self, cell: Cell) -> Iterator[None]:
        """Within it, a mistake found in the files of a cell ends with what to do."""
        try:
            yield
        except UserError as problem:
            advice = self.again(cell)
            said = str(problem)  # that of a file within it says so already
            raise UserError(said if said.endswith(advice) else f"{said}; {advice}") from None

    def trained(self, record: CellRecord) -> Trained:
        """How a finished cell trained, as far as that is kept: without its curves, and its end for its best."""
        end = self.weights(record.cell, "end")
        snapshot = self.start_weights(record.rewind) if record.rewind else None
        birds = self.birds(record.cell.replicate) if record.cell.arm == TICKET else ()
        return Trained(
            end=end,
            best=end,
            snapshot=snapshot,
            history={},
            diverged=False,
            birds=birds,
            measured=record.measured,
            **{name: getattr(record, name) for name in NUMBERS},
        )
