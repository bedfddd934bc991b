"""Training what is missing of a study, level by level, each cell stored while the next level trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from tombola.data import Resident
from tombola.lottery import Begin, Cell, Drawn, draw, train_cells
from tombola.seeds import Seeds
from tombola.study.engine_record import EngineRecord
from tombola.study.machine import training_clock
from tombola.study.plan import Plan
from tombola.study.probing import probing
from tombola.study.progress import Progress
from tombola.study.standing import is_done, missing
from tombola.study.store import Run
from tombola.study.trackers import Tracking
from tombola.study.writing import write_birds, write_cell
from tombola.training import Checkpoint, networks_that_fit, train_stack


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
                write_cell(self.folder, drawn, self.plan.study.store.keep, seconds)
            elif drawn.trained is not None:
                write_birds(self.folder.folder(drawn.cell), drawn.trained)
        self.tracking.catch_up()

    def _written(self) -> None:
        """Wait until the last stack is stored; an error in storing it is raised here."""
        if self.writing:
            self.writing.result()
