"""Running studies and sweeps: take the lock, check everything, train what is missing, and never do a cell twice.

A run may be stopped at any moment, by Ctrl-C, SIGTERM, SIGHUP or a power cut; the same call goes on to the same bits.
Where Ctrl-C is handled: `cli/app.py` makes the signals the same KeyboardInterrupt; `Worker.work` below still stores the
stack that has been trained; `run_study` tells the trackers of the end and gives up the lock; `cli/show/watcher.py` says
how to go on, and `cli/serve.py` ends the page that is served beside the run. The next call makes good what was
interrupted: `training/checkpoint.py` has kept a stack in mid-training, and `Run.sweep` removes what was left
half-written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.errors import UserError, notice
from tombola.files import write_parquet
from tombola.lottery.arms.donors import Lends
from tombola.lottery.cell import Begin, Cell, Drawn
from tombola.lottery.draw import draw
from tombola.lottery.lottery import Route
from tombola.masks.probe import Probing
from tombola.runs.beside.departures import Departures
from tombola.runs.beside.lender import Lender
from tombola.runs.beside.reuse import take_dense
from tombola.runs.beside.siblings import say_of_siblings
from tombola.runs.cell_record import place_of
from tombola.runs.cells import write_birds, write_cell
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import Ladders, Run
from tombola.runs.preregistration import Registration
from tombola.runs.progress import forget, is_done, missing, require_weights, require_whole
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.runs.stacks import StackTrainer
from tombola.runs.sweeps import SweepRun
from tombola.runs.trackers.base import Tracking
from tombola.runs.unedited import require_unedited
from tombola.seeds import Seeds
from tombola.study.ladders import called, ladder_seeds
from tombola.study.plan import Plan, Source, make_plan, probing
from tombola.study.prospects import unanswerable
from tombola.study.routes import DONORS
from tombola.study.routing import routes_of
from tombola.study.spec import Study
from tombola.study.sweep import Member, Sweep, require_different


class Worker:
    """Trains what a run lacks, level by level; a stack is stored while the next one trains."""

    def __init__(
        self,
        trainer: StackTrainer,
        plan: Plan,
        seeds: Callable[[int], Seeds],
        lends: Lends | None = None,
        routes: Mapping[str, Route] | None = None,
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        """`seeds` are those of each replicate; `stored` is told whenever cells are stored."""
        self.trainer, self.plan, self.seeds, self.stored = trainer, plan, seeds, stored
        self.folder = trainer.folder
        probes = partial(_probes, plan, trainer.data, seeds)
        self.lottery = replace(plan.lottery, probing=probes, lends=lends, routes=routes or {})
        self.writing: Future[None] | None = None

    def extent(self) -> tuple[int, int]:
        """The network-iterations that are done, and those that are left."""
        steps = self.plan.network_iterations
        done = sum(steps(cell) for cell in self.plan.cells() if self.folder.has(cell))
        return done, sum(steps(cell) for cell in missing(self.folder, self.plan.study))

    def work(self) -> None:
        """Everything that is not there yet. Where nothing is missing nothing is drawn: what tickets were drawn from may
        be gone (store.keep = "masks")."""
        if not missing(self.folder, self.plan.study):
            return
        replicates = {r: self.seeds(r) for r in range(self.plan.study.replicates)}
        with ThreadPoolExecutor(1) as self.writer:  # what was trained is written whatever happens next
            for _ in draw(self.lottery, replicates, self.train):
                pass  # each level is stored while the next one trains
            self._written()

    def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        """Train the missing cells of a level and remember the others (the lottery's `Train`)."""
        fresh = self.trainer.train(cells, begin, self._done, self._store)
        return {cell: fresh[cell] if cell in fresh else self.folder.recall(cell) for cell in cells}

    def _done(self, cell: Cell) -> bool:
        return is_done(self.folder, self.plan.study, cell)

    def _store(self, trained: Sequence[Drawn], seconds: float) -> None:
        """Begin to store a stack, once the one before it is stored."""
        self._written()
        self.writing = self.writer.submit(self._write, trained, seconds)

    def _write(self, trained: Sequence[Drawn], seconds: float) -> None:
        study = self.plan.study
        for drawn in trained:
            if not self.folder.has(drawn.cell):
                source = drawn.cell.arm in study.source_arms
                write_cell(self.folder, drawn, study.store.keep, seconds, source)
            elif drawn.trained is not None:
                place = place_of(drawn.cell, self.folder.ladder)
                write_birds(self.folder.folder(drawn.cell), drawn.trained, place)
        self.stored()

    def _written(self) -> None:
        """Wait until the last stack is stored; an error in storing it is raised here."""
        if self.writing:
            self.writing.result()


def _probes(plan: Plan, data: Resident, seeds: Callable[[int], Seeds], replicate: int) -> Probing:
    return probing(plan, data, seeds(replicate))


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
    trackers = options.prepare()
    plan, dataset = options.plan(study)
    study, net, sources = plan.study, plan.architecture, plan.sources
    for sentence in plan.notices:
        notice(sentence)
    folder = Run(options.out / study.folder)
    with folder.held():
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
            device=options.device,
            engine=options.engine,
            threads=options.threads,
        )
        require_whole(folder)
        require_weights(folder, plan.study)
        if lost := unanswerable(plan.study, plan.densities):
            notice(lost)
        registration = Registration.of(folder)
        data = record.resident(dataset, study.data.normalisation, options.device)
        say_of_siblings(folder, spec, dataset.digest)
        record.note(spec, net, data)
        # Nothing is written before everything is checked: a refusal leaves the folder as it was.
        folder.sweep()
        folder.write_study(spec)
        registration.register(folder, spec.hypothesis, plan.densities, spec.replicates)
        record.save()
        beginning(folder)
        trainer = StackTrainer(folder, plan.study, net, data, record, options.progress, plan.lottery)
        take_dense(folder, study, record, trainer.size, dense_from)
        tracking = Tracking(folder, trackers)
        ladders = folder.ladders()
        beside = [_beside(each, trainer, sources, options) for each in ladders]
        lends = Lender(ladders) if any(each.kind == DONORS for each in ladders) else None
        routes = routes_of(plan.study.trained_routes, Departures(ladders))
        worker = Worker(trainer, plan, study.seeds, lends, routes, tracking.catch_up)
        done, left = (sum(each) for each in zip(*(each.extent() for each in (*beside, worker)), strict=True))
        options.progress.begin(done + left, done)
        tracking.begin(spec)
        try:
            for each in (*beside, worker):
                each.work()
        finally:
            tracking.end()
        if spec.store.keep == "masks" and not missing(folder, spec):
            forget(folder)
        write_parquet(folder.path / "results.parquet", results_of(folder, timed=False))
    return folder


def _beside(
    ladders: Ladders, trainer: StackTrainer, sources: Mapping[str, Source], options: RunOptions
) -> Worker:
    """What trains ladders beside a run, just as the run itself is trained; those of a source on its own data and with
    its own network."""
    require_whole(ladders)
    require_weights(ladders, ladders.study)
    ladders.make()
    ladders.sweep()
    source = next((each for name, each in sources.items() if called(name) == ladders.kind), None)
    plan = make_plan(ladders.study, source.plan.architecture if source else trainer.architecture)
    own = replace(trainer, folder=ladders, study=ladders.study, lottery=plan.lottery)
    if source:
        own = _elsewhere(own, plan, source.dataset, options)
    else:
        own = replace(own, record=trainer.record.beside(ladders))
    return Worker(own, plan, partial(ladder_seeds, ladders.study, ladders.kind))


def _elsewhere(trainer: StackTrainer, plan: Plan, dataset: Dataset, options: RunOptions) -> StackTrainer:
    """The trainer of a source's ladders, with an engine record of their own."""
    study, net, folder = plan.study, plan.architecture, trainer.folder
    main = trainer.record.record
    record = EngineRecord.of(
        folder,
        net,
        dataset,
        study.seed,
        study.recipe,
        plan.pinned,
        plan.moving,
        device=main["device"],
        engine=options.engine,
        threads=main["threads"],
    )
    data = record.resident(dataset, study.data.normalisation, options.device)
    record.note(study, net, data)
    record.save()
    return replace(trainer, architecture=net, data=data, record=record)


def _settled(folder: Run, study: Study) -> Study:
    """The spec, widened to what the folder already holds; a folder of another spec is a UserError."""
    folder.require_own()
    if not folder.has_study():
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
    for member, folder in zip(sweep.members, folders, strict=True):
        # Written beforehand, so that the sweep can be looked at before a member's turn comes.
        folder.make()
        folder.require_own()
        if not folder.has_study():
            folder.write_study(member.study)
    found.save()
    for index, member in enumerate(sweep.members):
        beginning(member)
        run_study(member.study, options, dense_from=folders[:index])
    return found


def bound(sweep: Sweep, options: RunOptions) -> Sweep:
    """The sweep with its members bound to their data and networks, and planned. Raises UserError."""
    members = []
    for member in sweep.members:
        members.append(replace(member, study=options.plan(member.study)[0].study))
    require_different(members, sweep.first.name)
    return replace(sweep, members=tuple(members))
