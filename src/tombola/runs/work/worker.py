"""Training what a folder lacks: all of it in one process, or one stack of it for whoever comes by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from tombola.data.resident import Resident
from tombola.lottery.arms.donors import Lends
from tombola.lottery.cell import Begin, Cell, Drawn
from tombola.lottery.draw import Climb, draw
from tombola.lottery.lottery import Route
from tombola.masks.probe import Probing
from tombola.runs.cells.record import place_of
from tombola.runs.cells.writing import write_birds, write_cell
from tombola.runs.progress import is_done, missing
from tombola.runs.stacks import StackTrainer
from tombola.runs.work.edges import drawn_together, kin
from tombola.seeds import Seeds
from tombola.study.plan import Plan, probing


@dataclass
class _Resumed:
    """A climb that was taken up again: `masks` says whether the masks of its level are drawn."""

    climb: Climb
    replicates: frozenset[int]
    level: int = 0
    masks: bool = True


class Worker:
    """Trains what a run lacks: level by level, a stack being stored while the next one trains (`work`), or a single
    stack whose turn it is (`unit`)."""

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
        self._resumed: _Resumed | None = None

    def settle(self) -> None:
        """Decide the make-up of the stacks of all that is missing, see `EngineRecord.settle`."""
        self.trainer.record.settle(drawn_together(self.plan.study), self._done, self.trainer.size)

    def extent(self) -> tuple[int, int]:
        """The network-iterations that are done, and those that are left."""
        steps = self.plan.network_iterations
        done = sum(steps(cell) for cell in self.plan.cells() if self.folder.has(cell))
        return done, sum(steps(cell) for cell in missing(self.folder, self.plan.study))

    # --- all of it --------------------------------------------------------------------------------------------------

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
            if not self.folder.has(drawn.cell) or self._is_longer(drawn):
                self.folder.forget(drawn.cell)
                source = drawn.cell.arm in study.source_arms
                write_cell(self.folder, drawn, study.store.keep, seconds, source)
            elif drawn.trained is not None:
                write_birds(
                    self.folder.folder(drawn.cell), drawn.trained, place_of(drawn.cell, self.folder.ladder)
                )
        self.stored()

    def _is_longer(self, drawn: Drawn) -> bool:
        """Whether a cell is there that was not trained as far, since its routes did not ask for that."""
        there = self.folder.record(drawn.cell).iterations or 0
        return drawn.trained is not None and drawn.trained.iterations > there

    def _written(self) -> None:
        """Wait until the last stack is stored; an error in storing it is raised here."""
        if self.writing:
            self.writing.result()

    # --- a single stack ---------------------------------------------------------------------------------------------

    def unit(self, stack: Sequence[Cell]) -> None:
        """Train and store what is missing of a recorded stack. All that it needs is stored (`runs/work/edges.py`); the
        climb of its replicates is taken up from there, or from where this worker left it."""
        study, level = self.plan.study, stack[0].level
        at, self._resumed = self._at(kin(study, {cell.replicate for cell in stack}), level), None
        climb = at.climb
        if stack[0].arm == study.search_arm:
            drawn, begin = {Cell(r, level, stack[0].arm, 0) for r in climb.masks}, climb.seek
        else:
            self._draw_masks(at)
            drawn, begin = set(climb.cells(level)), climb.begin
        whole = self.trainer.record.trainable(stack, drawn, self._done, self.trainer.planned)
        if not all(self._done(cell) for cell in whole):
            self.trainer.train_stack(whole, begin, self._done, self._write)
        self._resumed = at  # not where something went wrong in the middle

    def _at(self, replicates: frozenset[int], level: int) -> _Resumed:
        """The climb of these replicates where the levels below this one are noted."""
        at = self._resumed
        if at is None or at.replicates != replicates or at.level > level:
            at = _Resumed(Climb(self.lottery, {r: self.seeds(r) for r in sorted(replicates)}), replicates)
        while at.level < level:
            self._draw_masks(at)
            at.climb.note(at.level, self._recall(at.climb.cells(at.level)))
            at.level, at.masks = at.level + 1, False
        return at

    def _draw_masks(self, at: _Resumed) -> None:
        if not at.masks:
            at.climb.prune(at.level, lambda cells, _: self._recall(cells))
            at.masks = True

    def _recall(self, cells: Collection[Cell]) -> dict[Cell, Drawn]:
        """What was stored of those cells that a climb rests on."""
        rests = {*self.plan.study.source_arms, self.plan.study.search_arm}
        return {cell: self.folder.recall(cell) for cell in cells if cell.arm in rests}


def _probes(plan: Plan, data: Resident, seeds: Callable[[int], Seeds], replicate: int) -> Probing:
    return probing(plan, data, seeds(replicate))
