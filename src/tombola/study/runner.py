"""Running a study: take the lock, go through the levels, store each cell, and never do one twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from filelock import FileLock, Timeout
from torch import nn

from tombola.data import Dataset, Resident
from tombola.errors import UserError
from tombola.lottery import TICKET, Begin, Cell, Drawn, draw, train_cells
from tombola.seeds import Seeds
from tombola.study.bind import bind
from tombola.study.dense import take_dense
from tombola.study.engine_record import EngineRecord
from tombola.study.machine import pick_device, prepare
from tombola.study.plan import Plan, make_plan, planned_cells
from tombola.study.probing import probing
from tombola.study.registration import Registration
from tombola.study.results import results
from tombola.study.spec import Study
from tombola.study.store import LOCK, Run
from tombola.study.writing import write_birds, write_cell, write_parquet
from tombola.training import EARLY_BIRD, Checkpoint, networks_that_fit, train_stack


class Progress(Protocol):
    """Somebody who watches a run. Units are network-iterations: one optimizer step of one network."""

    def begin(self, total: int, done: int) -> None: ...

    def advance(self, steps: int, cells: Sequence[Cell]) -> None: ...

    def landed(self, drawn: Sequence[Drawn]) -> None: ...


class Silent:
    """Nobody watches."""

    def begin(self, total: int, done: int) -> None:
        pass

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        pass

    def landed(self, drawn: Sequence[Drawn]) -> None:
        pass


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
) -> Run:
    """Run a study to its end, from wherever an earlier run of it stopped, and return its folder.

    Stopped at any moment, the same call finishes with the same bits; more levels, replicates, arms or draws
    extend the folder without redoing a cell. Dense networks are copied from the runs of `dense_from` where that
    gives the same bits, see `study.dense`. Raises UserError for what a user can mend.
    """
    prepare(threads)
    pick_device(device)
    study, dataset, net = bind(study, data_dir, dataset, model)
    make_plan(study, net)
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
        _require_weights(folder, plan.study)
        registration = Registration.of(folder)
        # Nothing is written before everything is checked: a refusal leaves the folder as it was.
        folder.sweep()
        folder.write_study(spec)
        registration.register(folder, spec.hypothesis, plan.densities, spec.replicates)
        record.save()
        torch.set_num_threads(record.record["threads"])
        where = pick_device(record.record["device"] if device == "auto" else device)
        data = Resident(dataset, study.data.normalisation, where)
        worker = _Worker(folder, plan, data, record, progress or Silent())
        take_dense(folder, study, record, worker.size, dense_from)
        worker.work()
        if spec.store.keep == "masks" and not missing(folder, spec):
            _forget(folder)
        write_parquet(folder.path / "results.parquet", results(folder, timed=False))
    return folder


def missing(folder: Run, study: Study) -> list[Cell]:
    """Cells of the study that are still to be trained: not done, and not above the end of a ladder whose
    ticket, or of an arm's own ladder whose network, collapsed or diverged. Where a search failed there is no ticket.
    A dense network of which early birds are missing has to be trained again, to be watched."""
    ends: dict[int | tuple[int, str, int], int] = {}
    for cell in folder.cells():
        if cell.arm == study.search_arm and folder.record(cell)["status"] != "ok":
            ends[cell.replicate] = cell.level - 1
        elif cell.arm in {*study.pruned_arms, *study.ladder_arms} and folder.record(cell)["status"] != "ok":
            shared = cell.arm in study.pruned_arms
            ends[cell.replicate if shared else (cell.replicate, cell.arm, cell.draw)] = cell.level

    def on_its_ladders(cell: Cell) -> bool:
        ladders = cell.replicate, (cell.replicate, cell.arm, cell.draw)
        return all(cell.level <= ends.get(ladder, study.levels) for ladder in ladders)

    return [
        cell for cell in planned_cells(study) if on_its_ladders(cell) and not is_done(folder, study, cell)
    ]


def is_done(folder: Run, study: Study, cell: Cell) -> bool:
    """Whether a cell is there and, of a dense network that is watched, what was seen for every level of the study."""
    if not folder.has(cell) or cell.level > 0 or study.pruning.mode != EARLY_BIRD:
        return folder.has(cell)
    seen = all(folder.bird_file(cell.replicate, level).exists() for level in range(1, study.levels + 1))
    return seen or folder.record(cell)["status"] != "ok"


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
    return study.widened(old)


def _require_weights(folder: Run, study: Study) -> None:
    """Raise UserError when a missing cell is pruned from weights that are no longer there."""
    for source in sorted({source for cell in missing(folder, study) for source in _below(cell, study)}):
        if folder.has(source) and not folder.keeps_weights(source):
            raise UserError(
                f"{folder.folder(source)}: the weights that level {source.level + 1} was pruned from are gone, so this "
                "ladder cannot be taken up again (store.keep = 'masks' drops them once a run is complete; "
                "'living' keeps them)"
            )


def _below(cell: Cell, study: Study) -> Iterator[Cell]:
    """The cells that the masks on the way down to this one are pruned from."""
    for level in range(cell.level):
        yield Cell(cell.replicate, level, study.pruned_arms[-1] if level else TICKET, 0)
        if level and cell.arm in study.ladder_arms:
            yield Cell(cell.replicate, level, cell.arm, cell.draw)


def _forget(folder: Run) -> None:
    """Drop the weights that nothing is pruned from any more (store.keep = "masks")."""
    for cell in folder.cells():
        folder.forget_weights(cell)


class _Worker:
    """Trains what is missing, level by level."""

    def __init__(
        self, folder: Run, plan: Plan, data: Resident, record: EngineRecord, progress: Progress
    ) -> None:
        self.folder, self.plan, self.data, self.record, self.progress = folder, plan, data, record, progress
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
        study, clock = self.plan.study, time.monotonic()
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
        seconds = (time.monotonic() - clock) / len(cells)
        self.checkpoint.clear()
        self._written()
        self.writing = self.writer.submit(self._write, [drawn[cell] for cell in wanted], seconds)
        self.progress.landed(list(drawn.values()))
        return drawn

    def _write(self, trained: Sequence[Drawn], seconds: float) -> None:
        for drawn in trained:
            if not self.folder.has(drawn.cell):
                write_cell(self.folder, drawn, self.plan.study.store.keep, seconds)
            elif drawn.trained is not None:
                write_birds(self.folder.folder(drawn.cell), drawn.trained)

    def _written(self) -> None:
        """Wait until the last stack is stored; an error in storing it is raised here."""
        if self.writing:
            self.writing.result()
