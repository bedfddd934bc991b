"""Running a study: take the lock, check everything, train what is missing, and never do a cell twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from tombola.data import Dataset, Resident
from tombola.errors import UserError, notice
from tombola.study.bind import bind
from tombola.study.dense import take_dense
from tombola.study.engine_record import EngineRecord
from tombola.study.machine import pick_device, prepare
from tombola.study.plan import make_plan
from tombola.study.progress import Progress, Silent
from tombola.study.prospect import unanswerable
from tombola.study.registration import Registration
from tombola.study.results import results
from tombola.study.siblings import say_of_siblings
from tombola.study.spec import Study
from tombola.study.standing import forget, missing, require_weights, require_whole
from tombola.study.store import LOCK, Run
from tombola.study.trackers import Tracking, open_trackers
from tombola.study.unedited import require_unedited
from tombola.study.worker import Worker
from tombola.study.writing import write_parquet


def run(
    study: Study,
    out: Path = Path("runs"),
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
    progress: Progress | None = None,
    dense_from: Sequence[Run] = (),
    beginning: Callable[[Run], None] = lambda folder: None,
    track: Sequence[str] = (),
) -> Run:
    """Run a study to its end, from wherever an earlier run of it stopped, and return its folder.

    Stopped at any moment, the same call finishes with the same bits; more levels, replicates, arms or draws
    extend the folder without redoing a cell. Dense networks are copied from the runs of `dense_from` where that
    gives the same bits, see `study.dense`. `beginning` is told of the folder once everything is checked and the study
    written, before anything is trained; the trackers named in `track` of every cell that is stored. Raises UserError
    for what a user can mend.
    """
    trackers = open_trackers(track)
    prepare(threads)
    pick_device(device)
    study, dataset, net = bind(study, data_dir, dataset, model)
    for sentence in make_plan(study, net).notices:
        notice(sentence)
    folder = Run(out / study.folder)
    with _locked(folder):
        spec = _settled(folder, study)
        plan = make_plan(spec.model_copy(update={"levels": study.levels}), net)
        record = EngineRecord.of(
            folder,
            net,
            dataset,
            study.seed,
            study.recipe,
            plan.pinned,
            plan.moving,
            device=device,
            engine=engine,
            threads=threads,
        )
        require_whole(folder)
        require_weights(folder, plan.study)
        if lost := unanswerable(plan.study, plan.densities):
            notice(lost)
        registration = Registration.of(folder)
        torch.set_num_threads(record.record["threads"])
        where = pick_device(record.record["device"] if device == "auto" else device)
        data = Resident(dataset, study.data.normalisation, where)
        say_of_siblings(folder, spec, dataset.digest)
        record.note(spec, net, data)
        # Nothing is written before everything is checked: a refusal leaves the folder as it was.
        folder.sweep()
        folder.write_study(spec)
        registration.register(folder, spec.hypothesis, plan.densities, spec.replicates)
        record.save()
        beginning(folder)
        tracking = Tracking(folder, trackers)
        worker = Worker(folder, plan, data, record, progress or Silent(), tracking)
        take_dense(folder, study, record, worker.size, dense_from)
        tracking.begin(spec)
        try:
            worker.work()
        finally:
            tracking.end()
        if spec.store.keep == "masks" and not missing(folder, spec):
            forget(folder)
        write_parquet(folder.path / "results.parquet", results(folder, timed=False))
    return folder


def _locked(folder: Run) -> AbstractContextManager[object]:
    """The folder, made if need be, held for this process alone."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as problem:
        raise UserError(f"{folder.path}: cannot be a run folder ({problem.strerror})") from None
    try:
        return FileLock(folder.path / LOCK).acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(f"{folder.path}: another process is running this study") from None


PATIENCE = 0.5
"""Seconds to wait for the lock: somebody who asks whether a run is locked holds it for an instant."""


def _settled(folder: Run, study: Study) -> Study:
    """The spec, widened to what the folder already holds; a folder of another spec is a UserError."""
    if not (folder.path / "study.toml").exists():
        if folder.is_foreign():
            raise UserError(f"{folder.path}: is not empty and holds no study.toml; move it away first")
        return study
    old = folder.study
    if old.identity() != study.identity():
        raise UserError(
            f"{folder.path}: holds another study (id {old.identity()}, this one is {study.identity()}); "
            "give this study another name or move the folder away"
        )
    wide = study.widened(old)
    # An arm may have cells that study.toml lists no more.
    require_unedited(folder.path, wide, folder.environment)
    return wide
