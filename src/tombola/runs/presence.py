"""Who is at work in a run folder, and on what: workers that beat, and leases on units of work.

    .work/NAME.beat     of a worker that is there: its machine and process; touched every BEAT seconds
    .work/UNIT.lease    the name of the worker that trains a unit
    .work/NAME.log      what a worker tells of its progress

All of it lies in the run folder, so that workers on several machines need nothing but to share that. Leases save work,
they do not guard cells: a cell is renamed into its place whole, and a worker that comes second leaves the first one's.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WORK = ".work"
BEAT = 5.0
"""Seconds between beats."""
PATIENCE = 90.0
"""A worker that did not beat for so many seconds is taken for dead. On its own machine its process is looked for."""


@cache
def machine() -> str:
    """This machine as it is now: process numbers that were seen on it mean something until it starts anew."""
    found = [platform.node()]
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        found.append(os.readlink("/proc/self/ns/pid"))  # a container has numbers of its own
    return "/".join(found)


def _is_here(pid: int) -> bool:
    """Whether there is a process of this number that has not ended: one that ended may wait for its parent to look."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except (OSError, IndexError):  # another user's, or no /proc
        return True


class Others:
    """The workers of a run folder, as one of them sees them. Whether one on another machine is alive is told by this
    machine's clock alone: whether its file was touched while one looked."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self._folder, self._patience = folder / WORK, patience
        self._seen: dict[Path, tuple[int, float]] = {}

    def alive(self, name: str) -> bool:
        """Whether a worker is there, as far as can be told."""
        return self._beats(self._folder / f"{name}.beat")

    def names(self) -> list[str]:
        """The workers that are there."""
        return sorted(path.stem for path in self._folder.glob("*.beat") if self._beats(path))

    def hold(self, lease: Path, holder: str) -> bool:
        """Whether the holder of a lease is there. One that is not written down yet is judged by the lease's age."""
        return self.alive(holder) if holder else self._fresh(lease)

    def _beats(self, path: Path) -> bool:
        return self._fresh(path) and _process_is_there(path)

    def _fresh(self, path: Path) -> bool:
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        before, since = self._seen.get(path, (None, 0.0))
        if touched != before:
            self._seen[path] = touched, time.monotonic()
            return True
        return time.monotonic() - since < self._patience


def _process_is_there(path: Path) -> bool:
    """False for the beat of a process of this machine that is no more."""
    try:
        said = json.loads(path.read_text())
        return said["machine"] != machine() or _is_here(said["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return True  # not written yet, or half


def anyone_at_work(folder: Path) -> bool:
    """Whether workers are in a run folder, judged by the clock, for who only takes one look."""
    now = time.time()
    for path in (folder / WORK).glob("*.beat"):
        try:
            if now - path.stat().st_mtime < PATIENCE and _process_is_there(path):
                return True
        except FileNotFoundError:
            pass
    return False


def stacks_in_hand(folder: Path) -> int:
    """How many stacks workers train now, by their leases."""
    return sum(1 for _ in (folder / WORK).glob("*.lease"))


class Presence:
    """A worker in a run folder while the context lasts: it beats, takes leases, and tells of its progress."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self._folder = folder / WORK
        self.others = Others(folder, patience)
        self.name = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"

    def __enter__(self) -> Self:
        self._end = threading.Event()
        self._beat = self._folder / f"{self.name}.beat"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._beat.write_text(json.dumps({"machine": machine(), "pid": os.getpid()}))
        self._thread = threading.Thread(target=self._beating, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._beat.unlink(missing_ok=True)
        if not self.others.names():
            shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, unit: str) -> bool:
        """Take the lease on a unit, unless somebody who is there has it."""
        lease = self._folder / f"{unit}.lease"
        try:
            holder = lease.read_text()
            if self.others.hold(lease, holder):
                return False
            self._set_aside(lease, holder)
        except FileNotFoundError:
            pass
        try:
            with lease.open("x") as file:
                file.write(self.name)
        except FileExistsError:
            return False
        return True

    def release(self, unit: str) -> None:
        """Give the lease on a unit back, if it still is this worker's."""
        lease = self._folder / f"{unit}.lease"
        try:
            if lease.read_text() == self.name:
                lease.unlink()
        except FileNotFoundError:
            pass

    def tell(self, line: dict[str, Any]) -> None:
        """Write a line in the log."""
        with (self._folder / f"{self.name}.log").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _set_aside(self, lease: Path, holder: str) -> None:
        """Remove the lease of a worker that is no more; renamed first, so that of several who do so one succeeds."""
        aside = lease.with_name(f".{lease.name}.{uuid.uuid4().hex[:8]}.tmp")
        lease.rename(aside)
        if aside.read_text() == holder:
            aside.unlink()
        else:  # somebody was faster, and this is the new one
            aside.rename(lease)

    def _beating(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(OSError):  # of a folder that is away for a moment; at worst somebody takes over
                os.utime(self._beat)
