"""Running a study: take the lock, check everything, train what is missing, and never do a cell twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.errors import UserError, notice
from tombola.files import write_parquet
from tombola.lottery.cell import Begin, Cell, Drawn, train_cells
from tombola.lottery.draw import draw
from tombola.runs.cells import write_birds, write_cell
from tombola.runs.environment import EngineRecord, training_clock
from tombola.runs.folder import LOCK, Run
from tombola.runs.preregistration import Registration
from tombola.runs.progress import Progress, Silent, forget, is_done, missing, require_weights, require_whole
from tombola.runs.results import results_of
from tombola.runs.reuse import take_dense
from tombola.runs.siblings import say_of_siblings
from tombola.runs.trackers.base import Tracking, open_trackers
from tombola.runs.unedited import require_unedited
from tombola.seeds import Seeds
from tombola.study.plan import Plan, bind, make_plan, probing
from tombola.study.prospects import unanswerable
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint
from tombola.training.device import pick_device, prepare
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit


class Worker:
    """Trains what is missing, level by level."""

    def __init__(
        self,
        folder: Run,
        plan: Plan,
        data: Resident,
        record: EngineRecord,
        progress: Progress,
        tracking: Tracking,
    ) -> None:
        self.folder, self.plan, self.data, self.record, self.progress = folder, plan, data, record, progress
        self.tracking = tracking
        self.engine: str = record.record["engine"]
        self.size = networks_that_fit(plan.architecture, data.device, plan.study.recipe, self.engine)
        self.lottery = replace(
            plan.lottery, probing=lambda r: probing(plan, data, Seeds.replicate(plan.study.seed, r))
        )
        self.checkpoint = Checkpoint(folder.path / ".checkpoint.safetensors")
        self.writing: Future[None] | None = None

    def work(self) -> None:
        """Everything that is not there yet."""
        study, steps = self.plan.study, self.plan.network_iterations
        done = sum(steps(cell) for cell in self.plan.cells() if self.folder.has(cell))
        self.progress.begin(done + sum(steps(cell) for cell in missing(self.folder, study)), done)
        replicates = {r: Seeds.replicate(study.seed, r) for r in range(study.replicates)}
        with ThreadPoolExecutor(1) as self.writer:  # what was trained is written whatever happens next
            for _ in draw(self.lottery, replicates, self.train):
                pass  # each level is stored while the next one trains
            self._written()

    def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        """Train the missing cells of a level and remember the others (the lottery's `Train`)."""
        fresh: dict[Cell, Drawn] = {}
        for stack in self.record.stacks(cells, self._done, self.size):
            fresh |= self._train_stack(stack, begin)
        return {cell: fresh[cell] if cell in fresh else self.folder.recall(cell) for cell in cells}

    def _done(self, cell: Cell) -> bool:
        return is_done(self.folder, self.plan.study, cell)

    def _train_stack(self, cells: list[Cell], begin: Begin) -> dict[Cell, Drawn]:
        study, clock = self.plan.study, training_clock()
        level, last = cells[0].level, study.first_iteration(cells[0])
        wanted = [cell for cell in cells if not self._done(cell)]

        def progress(iteration: int) -> None:
            nonlocal last
            self.progress.advance((iteration - last) * len(wanted), cells)
            last = iteration

        drawn = train_cells(
            cells,
            begin,
            lambda starts: train_stack(
                self.plan.architecture,
                starts,
                self.data,
                study.recipe_at(level),
                study.data.validation,
                engine=self.engine,
                search=self.lottery.search(cells[0]),
                watch=self.lottery.watch(cells[0]),
                snapshot_at=study.pruning.rewind if level == 0 and study.pruning.rewind else None,
                checkpoint=self.checkpoint,
                progress=progress,
            ),
        )
        seconds = (training_clock() - clock) / len(cells)
        self.checkpoint.clear()
        self._written()
        self.writing = self.writer.submit(self._write, [drawn[cell] for cell in wanted], seconds)
        self.progress.landed(list(drawn.values()))
        return drawn

    def _write(self, trained: Sequence[Drawn], seconds: float) -> None:
        for drawn in trained:
            if not self.folder.has(drawn.cell):
                study = self.plan.study
                source = drawn.cell.arm in study.source_arms
                write_cell(self.folder, drawn, study.store.keep, seconds, source)
            elif drawn.trained is not None:
                write_birds(self.folder.folder(drawn.cell), drawn.trained)
        self.tracking.catch_up()

    def _written(self) -> None:
        """Wait until the last stack is stored; an error in storing it is raised here."""
        if self.writing:
            self.writing.result()


def run_study(
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
        write_parquet(folder.path / "results.parquet", results_of(folder, timed=False))
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
