"""One worker's part of a run that several share: it takes units that are ready until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

from tombola.data.locate import data_folder
from tombola.errors import UserError, notice
from tombola.plugins.trusted import name_own
from tombola.runs.environment import describe_machine
from tombola.runs.folder import Run
from tombola.runs.presence import Presence
from tombola.runs.progress import Silent
from tombola.runs.run_options import RunOptions
from tombola.runs.work.prepared import Bound, Prepared, extent
from tombola.runs.work.telling import Heard, Told
from tombola.runs.work.units import Unit, Units
from tombola.study.spec import Study

POLL = 0.3
"""Seconds between two looks for a unit that can be trained."""
SETTLING = 600.0
"""Seconds to wait while other workers of a run prepare theirs, one after the other."""


@dataclass(frozen=True)
class Share:
    """Worker `number` (from 1) of `of`: which units it tries first. It takes the others' as well where they wait."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """The share that '2/10' means. Raises UserError for anything else."""
        number, _, of = text.partition("/")
        if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return cls(int(number), int(of))
        raise UserError(
            f"--shard is '{text}', expected i/n, the number of this worker and how many there are: 1/8"
        )

    def first(self, unit: Unit) -> bool:
        """Whether a unit is one that it tries first."""
        return crc32(unit.name.encode()) % self.of == self.number - 1


class TakingPart:
    """Trains units of a run, one after the other, where no other worker is at them."""

    def __init__(
        self, prepared: Prepared, presence: Presence, share: Share, told: Callable[[], None] = lambda: None
    ) -> None:
        """`told` is called whenever something was written in this worker's log."""
        self.workers = prepared.workers(partial(Told, presence, told))
        self.units = Units(self.workers)
        self._presence, self._share = presence, share
        self._last = frozenset[int]()

    def one(self) -> bool:
        """Train a unit that is ready. False where there is none that nobody has taken."""
        return any(self.take(unit) for unit in sorted(self.units.ready(), key=self._order))

    def take(self, unit: Unit) -> bool:
        """Train a unit, unless another worker has it."""
        if not self._presence.take(unit.name):
            return False
        try:
            if not self.units.is_done(unit):  # else another has just given it back
                self.workers[unit.part].unit(unit.cells)
                self._last = unit.replicates
        finally:
            self._presence.release(unit.name)
        return True

    def _order(self, unit: Unit) -> tuple[bool, bool]:
        """Replicates whose climb it remembers come first, then its own share; else in the order of training."""
        return unit.replicates != self._last, not self._share.first(unit)


def handed_on(options: RunOptions) -> RunOptions:
    """The options as other processes get them, on other machines perhaps: with whole paths, and nothing to show."""
    return replace(
        options,
        out=options.out.absolute(),
        data_dir=data_folder(options.data_dir).absolute(),
        threads=None,  # as recorded
        progress=Silent(),
        track=(),
        on="",
        mirror="",
    )


def joined(study: Study, options: RunOptions) -> Prepared:
    """A study as another process of this user prepared it, whose code this process may run therefore."""
    options.prepare()
    name_own(study.code)
    return Prepared.of(options.plan(study), options, checked=True)


def join(study: Study, options: RunOptions, share: Share) -> None:
    """Take part in a run that somebody else has prepared and watches over, until nothing is left."""
    prepared = joined(study, options)
    with Presence(prepared.folder.path) as presence:
        part = TakingPart(prepared, presence, share)
        while part.units.left():
            if not part.one():
                time.sleep(POLL)


def run_shard(
    bound: Bound,
    options: RunOptions,
    share: Share,
    dense_from: Sequence[Run],
    beginning: Callable[[Run], None],
) -> None:
    """Take part in a run that nobody watches over: each worker prepares it as if it were alone, and leaves when there
    is less to do than there are workers."""
    folder = Run(options.out / bound[0].study.folder)
    with ExitStack() as stack:
        with folder.held(SETTLING, alone=False):
            prepared = Prepared.of(bound, options)
            prepared.begin(dense_from, beginning)
            presence = stack.enter_context(Presence(folder.path))
        say_of_machine(prepared)
        heard = Heard(folder.path, options.progress)
        heard.skip()
        part = TakingPart(prepared, presence, share, heard.listen)
        done, left = extent(part.workers)
        options.progress.begin(done + left, done)
        while left := part.units.left():
            if not part.one():
                if presence.name in presence.others.names()[left:]:
                    return
                time.sleep(POLL)
            heard.listen()
    with folder.held(SETTLING, alone=False):
        prepared.finish()


def say_of_machine(prepared: Prepared) -> None:
    """A notice where this machine is of another kind than the one that a run was begun on."""
    begun, here = prepared.trainer.record.environment, describe_machine()
    for key in ("processor", "cpu_capability", "gpu"):
        if begun.get(key) != here[key]:
            notice(
                f"{prepared.folder.path}: was begun on another machine ({key} {begun.get(key)}, here {here[key]}); "
                "cells that are trained here may differ in the last bits from those that it would train"
            )
            return
