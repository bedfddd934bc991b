"""A run on disk: a folder that a person can read and that rebuilds itself.

    imports.json      digests of code of one's own, and what was known of the parts that it registers
    study.toml        the whole resolved spec       environment.json  versions, device, commit, engine record, and
                      what decides the cells and what the network computes, so that an edit of either is found
    cells/r0/L03/ticket/0/  mask.safetensors  end.safetensors  best.safetensors  history.parquet  cell.json  timing.json
    cells/r0/L00/ticket/0/early-bird-L03.safetensors   where a training was watched: a mask, and distances
    starts/<digest>.safetensors   the weights that networks start from, once each
    results.parquet   one row a cell                hypotheses.json   what was claimed, and when
    verdicts.json     what came of the claims        track/NAME       what a tracker was told
    measures.parquet, decisions.parquet, consensus.parquet            of the last comparison
    asked.parquet     rows that claims on measures asked for, and that the comparison does not hold
    prediction.parquet, reliability.parquet, seeding.parquet   which weights will live, and what seeding does
    connect/          copies trained with another data order, and what lies between networks
    donors/, twins/, sources/NAME/   ladders that arms take from: cells and starts of their own
    .index            of large runs: records of the cells, to open them quickly; made again where it is not there

A cell is written beside its place and renamed into it: it is whole or it is not there. Everything but timing.json,
environment.json, hypotheses.json (it holds times), track/, .index and the report is bit-equal between equal runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tombola import html
from tombola.errors import UserError, notice
from tombola.files import read_object, sweep, write_bytes, write_json
from tombola.lottery.cell import Cell, Drawn
from tombola.lottery.ticket import Ticket
from tombola.runs.cells.cells import Cells
from tombola.runs.cells.record import CellRecord
from tombola.runs.environment_file import ENVIRONMENT_FILE, environment_in
from tombola.runs.presence import WORK, anyone_at_work, stacks_in_hand
from tombola.runs.progress import WORDS, Headway, headway
from tombola.runs.unedited import require_unedited
from tombola.seals import sealed
from tombola.study.imported import IMPORTS, imported_by, remember
from tombola.study.ladders import ladders_of
from tombola.study.load import parse_study, read_text
from tombola.study.spec import Study

LOCK = ".lock"
CHECKPOINT = ".checkpoint"
"""How the names of checkpoints begin in a run folder."""
LEAVING = 15.0
"""Seconds that workers are given to leave, whose run was stopped or killed."""
PATIENCE = 0.5
"""Seconds to wait for the lock: whoever asks whether a run is locked holds it for an instant."""


class Run(Cells):
    """A run folder: its study, its environment, and its cells."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._read: tuple[tuple[Any, ...], Study] | None = None
        self._seals = False

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises UserError when the folder holds none."""
        run = cls(path)
        if not run.has_study():
            raise UserError(f"{path}: not a run folder (no study.toml in it)")
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def runs(self) -> dict[str, Run]:
        """Itself, by its folder's name: a run is a sweep of one."""
        return {self.path.name: self}

    def ladders(self) -> list[Ladders]:
        """The ladders that its arms take structure from."""
        return [Ladders(self, kind, study) for kind, study in ladders_of(self.study).items()]

    def headway(self, known: dict[Cell, CellRecord] | None = None) -> Headway:
        """How far it is now; its records are `known`, if they were just read."""
        beside: dict[str, tuple[Cells, Study]] = {each.kind: (each, each.study) for each in self.ladders()}
        return headway(self, self.study, self.is_locked(), beside, stacks_in_hand(self.path), known)

    def _repr_html_(self) -> str:
        """For notebooks: how far it is, and the mean on the test set at early stop of each arm at each level."""
        if not self.has_study():
            return html.card(f"Run {self.path.name}: nothing is stored yet")
        now = self.headway()
        levels = sorted({row.level for row in now.rows})
        means = {
            (row.arm, row.level): "" if row.test is None else now.metric.shown(row.test).removesuffix("%")
            for row in now.rows
        }
        arms = dict.fromkeys(row.arm for row in now.rows)
        rows = [[level, *(means.get((arm, level), "") for arm in arms)] for level in levels]
        said = f"Run {now.run}: {now.title}. {now.done} of {now.planned} cells done, {WORDS[now.state]}"
        heads = ["level", *(f"{arm}, test {now.metric.head}" for arm in arms)]
        return html.card(said, html.table(heads, rows))

    @property
    def study(self) -> Study:
        """The spec that the folder holds. Raises UserError where it is not that of the cells any more."""
        path = self.path / "study.toml"
        state = tuple(_state(self.path / name) for name in ("study.toml", ENVIRONMENT_FILE))
        if self._read is None or self._read[0] != state:  # read once, and again when a file has changed
            remember(self.path, self.environment)
            study = parse_study(read_text(path), str(path), stored=True)
            require_unedited(self.path, study, self.environment)
            self._read = state, study
        return self._read[1]

    @property
    def keep(self) -> str:
        """Which weights the study keeps."""
        return self.study.store.keep

    @property
    def seals(self) -> bool:
        self._seals = self._seals or bool(
            self.environment.get("seals")
        )  # it is written before the first cell
        return self._seals

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device and engine record. Raises UserError where the file is damaged."""
        path = self.path / ENVIRONMENT_FILE
        if path.exists():
            return environment_in(path, self._environment_place)
        if (self.path / "cells").is_dir():
            notice(
                f"{path}: is missing; nothing says on what machine and by what code the cells were trained"
            )
        return {}

    @property
    def _environment_place(self) -> str:
        return f"{self.ladder}/{ENVIRONMENT_FILE}"

    def make(self) -> bool:
        """Make the folder, unless it is there; returns whether it was not. Raises UserError where none can be."""
        try:
            self.path.mkdir(parents=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as problem:
            if self.path.is_dir():
                return False
            raise UserError(f"{self.path}: cannot be a run folder ({problem.strerror})") from None
        return True

    def is_untouched(self) -> bool:
        """Whether no worker is in the folder, and no cell and no checkpoint of a training in it or within it."""
        trained = any(any(self.path.rglob(name)) for name in ("cell.json", f"{CHECKPOINT}*"))
        return not trained and not anyone_at_work(self.path)

    @contextmanager
    def held(self, patience: float | None = None, *, alone: bool = True) -> Iterator[None]:
        """Within it the folder, made if need be, is this process's alone; without `alone` there may be workers in it,
        who do not hold the lock. A folder that was made is removed again where a UserError leaves it with nothing
        trained. Raises UserError where it is another's for longer than the seconds of `patience`."""
        made = self.make()
        try:
            lock = FileLock(self.path / LOCK).acquire(timeout=PATIENCE if patience is None else patience)
        except Timeout:
            raise UserError(f"{self.path}: another process is running this study") from None
        with lock:
            if alone:
                self._require_nobody()
            try:
                yield
            except UserError:
                if made and self.is_untouched():
                    shutil.rmtree(self.path)
                raise

    def _require_nobody(self) -> None:
        """Raise UserError where workers are in the folder, and stay; those of a process that was killed soon leave."""
        end = time.monotonic() + LEAVING
        while anyone_at_work(self.path):
            if time.monotonic() > end:
                raise UserError(
                    f"{self.path}: workers are at this study (their names are in {WORK}); wait until they are done, or "
                    "join them with --shard"
                )
            time.sleep(0.1)

    def is_locked(self) -> bool:
        """Whether a process is running the study now. Only looks: the folder may be one that nobody may write to."""
        if anyone_at_work(self.path):
            return True
        try:
            handle = os.open(self.path / LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def has_study(self) -> bool:
        """Whether the folder holds a study, and so is a run."""
        return (self.path / "study.toml").is_file()

    def require_own(self) -> None:
        """Raise UserError where the folder holds something and no study. Half a study.toml does not count: a process
        that was killed in its first moment leaves it."""
        names = [path.name for path in self.path.iterdir()]
        ours = (LOCK, ".study.toml.*.tmp")
        if not self.has_study() and any(not any(fnmatchcase(name, own) for own in ours) for name in names):
            raise UserError(f"{self.path}: is not empty and holds no study.toml; move it away first")

    def write_study(self, study: Study) -> None:
        """Write study.toml, unless it holds the same already, and imports.json where it has parts of one's own."""
        path, text = self.path / "study.toml", study.to_toml().encode()
        if not path.exists() or path.read_bytes() != text:
            write_bytes(path, text)
        if (imported := imported_by(study, self.path)) and imported != self.imported():
            write_json(self.path / IMPORTS, imported)

    def imported(self) -> dict[str, Any]:
        """What imports.json holds; nothing where there is none."""
        path = self.path / IMPORTS
        return read_object(path) if path.is_file() else {}

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json, unless it holds the same already."""
        if self.environment != environment:
            write_json(self.path / ENVIRONMENT_FILE, sealed(environment, self._environment_place))

    def ticket(self, cell: Cell) -> Ticket:
        """A cell as a ticket. Raises UserError for one that is none, see `provenance`."""
        provenance = self.provenance(cell)
        kept = self.keeps_weights(cell)
        end, best = (self.weights(cell, which) if kept else None for which in ("end", "best"))
        if cell.arm == self.study.search_arm:
            best = None  # it may have had another mask than the one that was found
        start = self.start(cell) if self.record(cell).start else None
        keys = self.environment.get("network", {}).get("state_dict")  # not noted in runs of old
        return Ticket(self.mask(cell), start, end, provenance, keys, best)

    def provenance(self, cell: Cell) -> dict[str, Any]:
        """Where the ticket of a cell comes from. Raises UserError for a cell whose dead weights are not zero, which no
        ticket can hold."""
        record, study = self.record(cell), self.study
        if record.start and record.start.dead:
            raise UserError(
                f"{self.folder(cell)}: arm '{cell.arm}' freezes dead weights at other values than zero, and a ticket's "
                "are zero; its scores are in the run's results"
            )
        return {
            "cell": str(cell),
            "study": study.folder,
            "seed": study.seed,
            "model": study.model.model_dump(mode="json"),
            "data": study.data.model_dump(mode="json"),
            "recipe": study.recipe_at(cell.level).model_dump(mode="json"),
            "status": record.status,
            "scores": record.numbers,
            "input": self.environment.get("network", {}).get("input"),
            **({"made": record.made} if record.made else {}),
            "function": self.environment.get("function"),
        }

    def recall(self, cell: Cell) -> Drawn:
        """A finished cell as the lottery needs it: its status, and the weights of one that may have been pruned."""
        record = self.record(cell)
        trained, found = None, None
        if cell.arm == self.study.search_arm and record.status == "ok":
            found = self.mask(cell)
        if cell.arm in self.study.source_arms and record.status == "ok" and self.keeps_weights(cell):
            trained = self.trained(record)
        return Drawn(cell, record.status, None, trained, found)

    def sweep(self) -> None:
        """Remove what killed processes left half-written. Only for the holder of the lock, and while no workers are in
        the folder."""
        shutil.rmtree(self.path / WORK, ignore_errors=True)
        cells = ("cells/r*/L*/*/.*.tmp", "cells/r*/L*/*/*/.*.tmp")
        sweep(self.path, *cells, "starts/.*.tmp", ".*.tmp", "report/**/.*.tmp", "track/**/.*.tmp", older=0.0)


class Ladders(Run):
    """Ladders beside the replicates of a run, which hold no ticket but their own: donors, twins or a source."""

    def __init__(self, run: Run, kind: str, study: Study) -> None:
        super().__init__(run.path / kind)
        self.kind, self.ladder, self._study = kind, kind, study

    @property
    def study(self) -> Study:
        return self._study


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
