"""A copy of a run in any place that fsspec reaches (`--mirror s3://bucket/runs`), kept up while it is trained.

Files of object stores are whole or not there, and a cell is there when its cell.json is, which is sent last: whatever
is cut off, what can be read there is a run. One process writes to a mirror at a time: the one that watches over the
workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tombola.errors import UserError, notice
from tombola.files import new_folder, write_bytes
from tombola.runs.environment_file import ENVIRONMENT_FILE
from tombola.runs.folder import Run

RECORD = "cell.json"
OURS = (".*", "*.tmp")
"""Names of what is no part of a run: the lock, leases, checkpoints, what is half-written."""
SELDOM = 5.0
"""Seconds between two times that new cells are sent, at the least."""


@dataclass
class Mirror:
    """The copy of one run."""

    url: str
    files: Any
    root: str
    run: Run
    _sent: dict[str, int] = field(default_factory=dict)
    """Name -> when the file that was sent had been written; 0 of one that was there before."""
    _last: float = 0.0
    _said: bool = False

    @classmethod
    def of(cls, url: str, run: Run) -> Mirror:
        """The copy of a run below a URL. Raises UserError where that cannot be reached."""
        import fsspec

        try:
            files, root = fsspec.core.url_to_fs(url)
            mirror = cls(url, files, f"{root.rstrip('/')}/{run.path.name}", run)
            mirror._sent = mirror._there()
        except Exception as problem:  # each kind of place has errors of its own
            raise UserError(
                f"the mirror {url}: cannot be reached ({type(problem).__name__}: {problem})"
            ) from None
        return mirror

    def fetch(self) -> None:
        """Bring what is there and not here: all of a run, or cells that it went on with elsewhere. Only for the holder
        of the lock. Raises UserError where another run lies there."""
        try:
            for folder in self._folders():
                self._fetch(folder)
        except UserError:
            raise
        except Exception as problem:
            raise UserError(
                f"the mirror {self.url}: cannot be read ({type(problem).__name__}: {problem})"
            ) from None

    def catch_up(self, now: bool = False) -> None:
        """Send the cells that are new, `now` or when that was not done just before. Where it does not work it is tried
        again; the run goes on."""
        if not now and time.monotonic() - self._last < SELDOM:
            return
        try:
            self._send_cells()
        except Exception as problem:
            if not self._said:
                notice(
                    f"the mirror {self.url}: cannot be written to now ({type(problem).__name__}: {problem})"
                )
            self._said = True
        self._last = time.monotonic()

    def send(self) -> None:
        """Make the copy equal: with everything that is there besides cells, and without weights that were dropped.
        Raises UserError where it cannot be written to."""
        try:
            self._send_cells()
            here = set(self._here())
            for name in sorted(here, key=lambda name: (name.endswith(RECORD), name)):
                self._put(name, again={"cells", "starts"}.isdisjoint(name.split("/")))
            for name in self._sent.keys() - here:
                if f"{name.rpartition('/')[0]}/{RECORD}" in here:  # weights of a cell, which were dropped
                    self.files.rm_file(f"{self.root}/{name}")
                    del self._sent[name]
        except Exception as problem:
            raise UserError(
                f"the mirror {self.url}: cannot be written to ({type(problem).__name__}: {problem}); all of it is in "
                f"{self.run.path}, and the same command sends it"
            ) from None

    # --- there ------------------------------------------------------------------------------------------------------

    def _there(self) -> dict[str, int]:
        """The files of the copy."""
        self.files.invalidate_cache()
        root = self.root.lstrip("/")
        names = (str(path).lstrip("/").removeprefix(root).lstrip("/") for path in self.files.find(self.root))
        return dict.fromkeys(names, 0)

    def _folders(self) -> list[str]:
        """The run itself, and the ladders beside it that are there."""
        return [name.removesuffix(ENVIRONMENT_FILE) for name in self._sent if name.endswith(ENVIRONMENT_FILE)]

    def _fetch(self, folder: str) -> None:
        place = self.run.path / folder
        theirs, ours = self._read(f"{folder}{ENVIRONMENT_FILE}"), place / ENVIRONMENT_FILE
        if self._is_ahead(theirs, ours):
            for name in self._sent:
                if name.startswith(folder) and "/" not in name[len(folder) :]:
                    write_bytes(self.run.path / name, self._read(name))
        for name in self._sent:
            if name.startswith(f"{folder}starts/") and not (self.run.path / name).exists():
                write_bytes(self.run.path / name, self._read(name))
            elif name.startswith(f"{folder}cells/") and name.endswith(f"/{RECORD}"):
                self._fetch_cell(name.removesuffix(RECORD))

    def _fetch_cell(self, folder: str) -> None:
        if (self.run.path / folder).exists():
            return
        with new_folder(self.run.path / folder) as whole:
            for name in self._sent:
                if name.startswith(folder):
                    (whole / name[len(folder) :]).write_bytes(self._read(name))

    def _is_ahead(self, theirs: bytes, ours: Path) -> bool:
        """Whether the copy went on where the folder here stopped. Raises UserError where they are different runs."""
        if not ours.is_file():
            return True
        there, here = (json.loads(text)["record"] for text in (theirs, ours.read_bytes()))
        further, known = there.pop("stacks"), here.pop("stacks")
        both = min(len(further), len(known))
        if there != here or further[:both] != known[:both]:
            raise UserError(
                f"the mirror {self.url}: holds another run of this study than {self.run.path}, whose stacks are made "
                "up otherwise; expected an empty place"
            )
        return len(further) > len(known)

    def _read(self, name: str) -> bytes:
        data: bytes = self.files.cat_file(f"{self.root}/{name}")
        return data

    def _write(self, name: str, data: bytes) -> None:
        """A file of an object store is whole or not there; one of a folder has to be renamed into its place."""
        if "file" in self.files.protocol:
            write_bytes(Path(self.root) / name, data)
        else:
            self.files.pipe_file(f"{self.root}/{name}", data)

    # --- here -------------------------------------------------------------------------------------------------------

    def _send_cells(self) -> None:
        """Send what is recorded of the run, and cells that are not there yet, after the weights they start from."""
        for part in (self.run, *self.run.ladders()):
            prefix = "" if part is self.run else f"{part.ladder}/"
            for name in ("study.toml", "hypotheses.json", ENVIRONMENT_FILE):
                if (part.path / name).is_file():
                    self._put(prefix + name, again=True)
            for cell in part.cells():
                folder = f"{prefix}cells/{cell}/"
                if f"{folder}{RECORD}" not in self._sent:
                    for digest in sorted(part.record(cell).starts):
                        self._put(f"{prefix}starts/{digest}.safetensors")
                    names = sorted(path.name for path in part.folder(cell).iterdir())
                    for name in sorted(names, key=lambda name: name == RECORD):
                        self._put(folder + name)

    def _here(self) -> Iterator[str]:
        for path in self.run.path.rglob("*"):
            name = path.relative_to(self.run.path)
            if path.is_file() and not any(fnmatchcase(part, own) for part in name.parts for own in OURS):
                yield name.as_posix()

    def _put(self, name: str, again: bool = False) -> None:
        """Send a file, unless it is there; `again`: unless this process has sent it as it is."""
        path = self.run.path / name
        key = path.stat().st_mtime_ns if again else 0
        if self._sent.get(name) == key or (not again and name in self._sent):
            return
        self._write(name, path.read_bytes())
        self._sent[name] = key
