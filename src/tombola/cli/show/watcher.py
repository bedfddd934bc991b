"""What a running study shows: a bar with an ETA on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tombola.cli.show.tables import error_console
from tombola.lottery.cell import Cell, Drawn
from tombola.study.ladders import SOURCES
from tombola.study.sweep import Member
from tombola.text import counted, duration, listed, percent, ticket_first

WINDOW = 60.0
"""Seconds that a pace is measured over: sparse levels are faster than dense ones, and machines change their mind."""


class Pace:
    """The pace of the last minute. The first piece of work only starts the clock, since an engine may be compiled and
    a device warmed up within it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, done: int) -> None:
        """At `now`, in seconds, `done` units of work are done, more than the last time."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()

    def left(self, total: int) -> float | None:
        """Seconds until `total` units are done; None before anything was measured."""
        if len(self._seen) < 2:
            return None
        (begun, before), (now, done) = self._seen[0], self._seen[-1]
        return (total - done) * (now - begun) / (done - before)


def announcer(members: int) -> Callable[[Member], None]:
    """Says of each member of a sweep when its turn comes: '2 of 3: criterion snip'."""
    turn = count(1)
    return lambda member: print(f"{next(turn)} of {members}: {member.label}", file=sys.stderr, flush=True)


NAMED = 3
"""Arms of a stack that are named, where it has more than one more."""
PLAIN_SECONDS = 10.0
"""At most one plain line about the time left in this many seconds."""


class Watcher:
    """Shows progress on standard error, so that standard output holds results alone. What is stopped goes on from
    there the next time, unless it does not `resume`."""

    def __init__(self, resume: bool = True) -> None:
        self._resume = resume
        console = error_console()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=console,
            )
        self._total = self._done = 0
        self._pace = Pace()
        self._spoke = time.monotonic()
        self._beside = ""

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=None, visible=False, left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        if kind is KeyboardInterrupt:
            self._say("stopped; the same command goes on from here" if self._resume else "stopped")

    def begin(self, total: int, done: int) -> None:
        self._total, self._done = total, done
        self._pace = Pace()
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.update(
                self._task, total=total, completed=done, description="beginning", left="", visible=True
            )
        elif done:
            self._say(f"{percent(done / max(total, 1), 0)} of this study is there already")

    def turn_to(self, part: str) -> None:
        """The ladders beside the run are named before their levels: 'donors, ', 'source fashion, '."""
        self._beside = f"{part.replace(f'{SOURCES}/', 'source ')}, " if part else ""

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        self._done += steps
        if steps:
            self._pace.see(time.monotonic(), self._done)
        self._show(f"{self._beside}level {cells[0].level}")

    def compared(self, done: int, of: int) -> None:
        """So many pairs of a comparison are done."""
        if not done:
            self.begin(of, 0)
        self._done = done
        self._pace.see(time.monotonic(), done)
        self._show("comparing pairs")

    def _show(self, what: str) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=what, left=self._left())
        elif time.monotonic() - self._spoke > PLAIN_SECONDS:
            self._say(f"{what}: {self._share()}")

    def landed(self, drawn: Sequence[Drawn]) -> None:
        for result in drawn:
            if result.status != "ok":
                self.tell(f"{self._beside}{result.cell}: {result.status}")
        if not self._bar:
            arms = sorted({result.cell.arm for result in drawn}, key=ticket_first)
            more = [counted(len(arms) - NAMED, "other arm")] if len(arms) > NAMED + 1 else arms[NAMED:]
            self._say(
                f"{self._beside}level {drawn[0].cell.level}: {counted(len(drawn), 'network')} trained "
                f"({listed([*arms[:NAMED], *more])}), {self._share()}"
            )

    def _share(self) -> str:
        left = self._left()
        return percent(self._done / max(self._total, 1), 0) + (f", {left}" if left else "")

    def _left(self) -> str:
        """The time left, or nothing before there is a measurement, and where all is done."""
        seconds = self._pace.left(self._total) if self._done < self._total else None
        return "" if seconds is None else f"about {duration(seconds)} left"

    def tell(self, sentence: str) -> None:
        """Say something beside the progress."""
        if self._bar:
            self._bar.console.print(sentence, markup=False, highlight=False)
        else:
            self._say(sentence)

    def _say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)
        self._spoke = time.monotonic()
