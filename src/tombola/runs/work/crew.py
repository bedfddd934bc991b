"""Watching over the workers of a run: processes of this machine, or jobs of a cluster, that take part in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tombola.errors import UserError, notice
from tombola.runs.presence import Presence
from tombola.runs.work.part import POLL, Share
from tombola.runs.work.prepared import Prepared, extent
from tombola.runs.work.telling import Heard
from tombola.runs.work.units import Units

DEATHS = 3
"""How often workers may be lost while no stack is stored, before that is taken for more than bad luck."""


class Overseer:
    """Who has a run trained by others: it knows what is left, tells of the progress, and counts losses."""

    def __init__(self, prepared: Prepared, between: Callable[[], None]) -> None:
        """`between` is called whenever there is time."""
        workers = prepared.workers()
        self.units, self._between, self._path = Units(workers), between, prepared.folder.path
        self._heard = Heard(self._path, prepared.trainer.progress)
        self._lost = self._stacks = 0
        done, left = extent(workers)
        prepared.trainer.progress.begin(done + left, done)

    def look(self) -> None:
        """Tell what is new."""
        self._heard.listen()
        self._between()

    def lost(self, how: str) -> None:
        """A worker was lost. Raises UserError where that happens again and again."""
        if self._heard.stacks > self._stacks:
            self._lost, self._stacks = 0, self._heard.stacks
        self._lost += 1
        if self._lost > DEATHS:
            raise UserError(
                f"{self._path}: {self._lost} workers were lost one after the other and no stack was trained (the last "
                f"one {how}); what was finished is kept, and the same command goes on from there"
            )
        notice(f"a worker was lost ({how}); another takes up its stack")


class Hand(Protocol):
    """A worker that was started."""

    def ended(self) -> bool:
        """Whether it is no more."""

    def problem(self) -> BaseException | str | None:
        """Of one that ended: what it raised, or how it was lost; None where it had nothing left to do."""

    def stop(self) -> None:
        """Have it stop as by Ctrl-C."""

    def wait(self) -> None:
        """Wait until it is no more."""


def watch_over(
    prepared: Prepared, start: Callable[[Share], Hand], count: int, between: Callable[[], None]
) -> None:
    """Start so many workers and see to it that they finish: one that is lost is replaced, one that raises ends the run
    with what it raised. `between` is called whenever there is time. Leaves no worker behind."""
    overseer, hands = Overseer(prepared, between), dict[Share, Hand]()
    with Presence(prepared.folder.path):
        try:
            while overseer.units.left():
                for share in (Share(number, count) for number in range(1, count + 1)):
                    if share in hands and hands[share].ended():
                        problem = hands.pop(share).problem()
                        if isinstance(problem, BaseException):
                            raise problem
                        if problem is not None:
                            overseer.lost(problem)
                    if share not in hands:
                        hands[share] = start(share)
                overseer.look()
                time.sleep(POLL)
        except BaseException:
            for hand in hands.values():
                hand.stop()
            raise
        finally:
            for hand in hands.values():
                hand.wait()
            overseer.look()
