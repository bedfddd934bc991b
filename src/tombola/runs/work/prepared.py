"""A study that has been checked, bound to its data and network, and whose run folder says how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tombola.data.dataset import Dataset
from tombola.errors import UserError, notice
from tombola.files import write_parquet
from tombola.plugins.trusted import accept
from tombola.runs.beside.departures import Departures
from tombola.runs.beside.lender import Lender
from tombola.runs.beside.reuse import take_dense, take_source
from tombola.runs.beside.siblings import say_of_siblings
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import CHECKPOINT, Ladders, Run
from tombola.runs.preregistration import Registration
from tombola.runs.presence import anyone_at_work
from tombola.runs.progress import Progress, forget, missing, require_weights, require_whole
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.runs.stacks import StackTrainer
from tombola.runs.unedited import require_unedited
from tombola.runs.work.edges import Part
from tombola.runs.work.worker import Worker
from tombola.study.imported import say_what_changed
from tombola.study.ladders import SOURCES, called, ladder_seeds
from tombola.study.plan import Plan, Source, make_plan
from tombola.study.prospects import unanswerable
from tombola.study.routes import DONORS
from tombola.study.routing import routes_of
from tombola.study.spec import Study
from tombola.training.parallel import ranks, size_of

Bound = tuple[Plan, Dataset]


@dataclass(frozen=True)
class Prepared:
    """A study with all that it takes to train it. `study` is what was asked for, `spec` that widened to what the folder
    holds, `plan` what is trained now."""

    folder: Run
    study: Study
    spec: Study
    plan: Plan
    registration: Registration
    trainer: StackTrainer
    sources: Mapping[str, Source]
    options: RunOptions
    _elsewhere: dict[str, StackTrainer] = field(default_factory=dict)
    """Trainers of the ladders beside the run, by what they are called."""

    @classmethod
    def of(cls, bound: Bound, options: RunOptions, *, checked: bool = False) -> Prepared:
        """Check everything, and write nothing. `bound` is what `RunOptions.plan` gave. What was `checked` already, by
        who is at work beside this, is not looked through again. Raises UserError for what a user can mend."""
        planned, dataset = bound
        study, net = planned.study, planned.architecture
        folder = Run(options.out / study.folder)
        spec = _settled(folder, study)
        plan = make_plan(spec.model_copy(update={"levels": study.levels}), net)
        record = _record(folder, plan, dataset, options)
        if not checked:
            require_whole(folder)
            require_weights(folder, plan.study)
            if lost := unanswerable(plan.study, plan.densities):
                notice(lost)
            say_what_changed(folder.path)
        registration = Registration.of(folder)
        data = record.resident(dataset, study.data.normalisation, options.device)
        if not checked:
            say_of_siblings(folder, spec, dataset.digest)
        record.note(spec, net, data)
        trainer = StackTrainer(folder, plan.study, net, data, record, options.progress, plan.lottery)
        return cls(folder, study, spec, plan, registration, trainer, planned.sources, options)

    def begin(
        self, dense_from: Sequence[Run] = (), beginning: Callable[[Run], None] = lambda folder: None
    ) -> None:
        """Write down what is trained and how, and take what others have trained; see `run_study`. Only for the holder
        of the lock."""
        folder, record = self.folder, self.trainer.record
        # Nothing is written before everything is checked: a refusal leaves the folder as it was.
        alone = not anyone_at_work(folder.path)
        if alone:
            folder.sweep()
        accept(self.spec.code)
        folder.write_study(self.spec)
        self.registration.register(folder, self.spec.hypothesis, self.plan.densities, self.spec.replicates)
        record.save()
        beginning(folder)
        for ladders in folder.ladders():
            require_whole(ladders)
            require_weights(ladders, ladders.study)
            ladders.make()
            if alone:
                ladders.sweep()
        for part, worker in self.workers().items():
            worker.settle()
            if alone and part.startswith(SOURCES) and isinstance(worker.folder, Ladders):
                take_source(worker.folder, worker.trainer.record, worker.trainer.size, self.options.out)
        take_dense(folder, self.study, record, self.trainer.size, dense_from)

    def workers(
        self, progress: Callable[[Part], Progress] | None = None, stored: Callable[[], None] = lambda: None
    ) -> dict[Part, Worker]:
        """Who trains each part of the run, the ladders beside it first. `progress` makes what each tells, the run's own
        where left out; `stored` is told whenever cells of the run itself are stored."""
        tells = progress or (lambda part: self.trainer.progress)
        ladders = self.folder.ladders()
        lends = Lender(ladders) if any(each.kind == DONORS for each in ladders) else None
        routes = routes_of(self.plan.study.trained_routes, Departures(ladders))
        trainer = replace(self.trainer, progress=tells(""))
        beside = {each.kind: self._beside(each, tells(each.kind)) for each in ladders}
        return {**beside, "": Worker(trainer, self.plan, self.study.seeds, lends, routes, stored)}

    def _beside(self, ladders: Ladders, progress: Progress) -> Worker:
        """Who trains ladders beside the run, just as the run itself is trained; those of a source on its own data and
        with its own network."""
        source = next((each for name, each in self.sources.items() if called(name) == ladders.kind), None)
        plan = make_plan(ladders.study, source.plan.architecture if source else self.trainer.architecture)
        if ladders.kind not in self._elsewhere:
            own = replace(self.trainer, folder=ladders, study=ladders.study, lottery=plan.lottery)
            self._elsewhere[ladders.kind] = (
                _on_its_own(own, plan, source.dataset, self.options)
                if source
                else replace(own, record=self.trainer.record.beside(ladders))
            )
        trainer = replace(self._elsewhere[ladders.kind], progress=progress)
        return Worker(trainer, plan, partial(ladder_seeds, ladders.study, ladders.kind))

    def finish(self) -> None:
        """Drop what a complete run does not keep, write its results, and remove what workers that died have left. Only
        for the holder of the lock."""
        if self.spec.store.keep == "masks" and not missing(self.folder, self.spec):
            forget(self.folder)
        write_parquet(self.folder.path / "results.parquet", results_of(self.folder, timed=False))
        for place in () if anyone_at_work(self.folder.path) else (self.folder, *self.folder.ladders()):
            place.sweep()
            for path in place.path.glob(f"{CHECKPOINT}*"):
                path.unlink()  # of a stack that another worker stored


def extent(workers: dict[Part, Worker]) -> tuple[int, int]:
    """The network-iterations of all workers that are done, and those that are left."""
    done, left = (sum(each) for each in zip(*(worker.extent() for worker in workers.values()), strict=True))
    return done, left


def _record(folder: Run, plan: Plan, dataset: Dataset, options: RunOptions) -> EngineRecord:
    """The engine record of a folder, made or read; see `EngineRecord.of`."""
    return EngineRecord.of(
        folder,
        plan.architecture,
        dataset,
        plan.study.seed,
        plan.study.recipe,
        plan.pinned,
        plan.moving,
        device=options.device,
        engine=options.engine,
        threads=options.threads,
        ranks=size_of(ranks()),
    )


def _on_its_own(trainer: StackTrainer, plan: Plan, dataset: Dataset, options: RunOptions) -> StackTrainer:
    """The trainer of a source's ladders, with an engine record of their own."""
    study, net, main = plan.study, plan.architecture, trainer.record.record
    as_there = replace(options, device=main["device"], threads=main["threads"])
    record = _record(trainer.folder, plan, dataset, as_there)
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
