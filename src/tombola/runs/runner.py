"""Running studies and sweeps: take the lock, check everything, train what is missing, and never do a cell twice.

A run may be stopped at any moment, by Ctrl-C, SIGTERM, SIGHUP or a power cut; the same call goes on to the same bits.
Where Ctrl-C is handled: `cli/app.py` makes the signals the same KeyboardInterrupt; `Worker.work`
(`runs/work/worker.py`) still stores the stack that has been trained; `run_study` tells the trackers of the end and
gives up the lock; `cli/show/watcher.py` says how to go on, and `cli/serve.py` ends the page that is served beside the
run. The next call makes good what was interrupted: `training/checkpoint.py` has kept a stack in mid-training, and
`Run.sweep` removes what was left half-written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tombola.errors import UserError, notice
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.sweeps import SweepRun
from tombola.runs.trackers.base import Tracking
from tombola.runs.work.mirror import Mirror
from tombola.runs.work.part import Share, run_shard
from tombola.runs.work.places import placed
from tombola.runs.work.prepared import Prepared
from tombola.study.spec import Study
from tombola.study.sweep import Member, Sweep, require_different


def run_study(
    study: Study,
    options: RunOptions,
    *,
    dense_from: Sequence[Run] = (),
    beginning: Callable[[Run], None] = lambda folder: None,
) -> Run:
    """Run a study to its end, from wherever an earlier run of it stopped, and return its folder.

    Stopped at any moment, the same call finishes with the same bits; more levels, replicates, arms or draws
    extend the folder without redoing a cell. Dense networks are copied from the runs of `dense_from` where that
    gives the same bits, see `tombola.runs.beside.reuse`. `beginning` is told of the folder once everything is
    checked and the study written, before anything is trained. Raises UserError for what a user can mend.
    """
    trackers, place = options.prepare(), placed(options)
    planned = options.plan(study)
    for sentence in planned[0].notices:
        notice(sentence)
    folder = Run(options.out / planned[0].study.folder)
    if options.shard:
        run_shard(planned, options, Share.parse(options.shard), dense_from, beginning)
        return folder
    with folder.held():
        mirror = Mirror.of(options.mirror, folder) if options.mirror else None
        if mirror:
            mirror.fetch()
        options = place.settled(options, fresh=not folder.environment)
        prepared = Prepared.of(planned, options)
        prepared.begin(dense_from, beginning)
        tracking = Tracking(folder, trackers)
        tracking.begin(prepared.spec)
        try:
            place.train(prepared, options, partial(_tell, tracking, mirror))
        finally:
            tracking.end()
            if mirror:
                mirror.catch_up(now=True)
        prepared.finish()
        if mirror:
            mirror.send()
    return folder


def _tell(tracking: Tracking, mirror: Mirror | None) -> None:
    """Cells are stored."""
    tracking.catch_up()
    if mirror:
        mirror.catch_up()


def run_sweep(
    sweep: Sweep,
    options: RunOptions,
    *,
    beginning: Callable[[Member], None] = lambda member: None,
) -> SweepRun:
    """Run every member of a sweep, from wherever an earlier run of it stopped, see `run_study`.

    Each is in the folder that it would have alone, with the same bits; a dense network that several share is trained
    once and copied. `beginning` is told of each member in turn. Raises UserError before anything is trained where
    any of them cannot be.
    """
    options.prepare()
    sweep = bound(sweep, options)
    folders = [Run(options.out / member.study.folder) for member in sweep.members]
    values = [member.values for member in sweep.members]
    found = SweepRun(options.out / sweep.folder, sweep.title, tuple(zip(values, folders, strict=True)))
    made = list[Run]()
    try:
        for folder in (Run(found.path), *folders):
            if folder.make():
                made.append(folder)
        for member, folder in zip(sweep.members, folders, strict=True):
            # Written beforehand, so that the sweep can be looked at before a member's turn comes.
            folder.require_own()
            if not folder.has_study():
                folder.write_study(member.study)
        found.save()
        for index, member in enumerate(sweep.members):
            beginning(member)
            run_study(member.study, options, dense_from=folders[:index])
    except UserError:
        if all(folder.is_untouched() and not folder.is_locked() for folder in folders):
            for folder in made:
                shutil.rmtree(folder.path)
        raise
    return found


def bound(sweep: Sweep, options: RunOptions) -> Sweep:
    """The sweep with its members bound to their data and networks, and planned. Raises UserError."""
    members = []
    for member in sweep.members:
        members.append(replace(member, study=options.plan(member.study)[0].study))
    require_different(members, sweep.first.name)
    return replace(sweep, members=tuple(members))
