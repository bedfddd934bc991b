"""Training the cells of a folder, stack by stack: those of a run, and the copies that are made of its networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tombola.data.resident import Resident
from tombola.lottery.cell import Begin, Cell, Drawn, train_cells
from tombola.lottery.lottery import Lottery
from tombola.models.architecture import Architecture
from tombola.runs.environment import EngineRecord, training_clock
from tombola.runs.folder import CHECKPOINT, Run
from tombola.runs.progress import Progress
from tombola.study.ladders import goes_to, steps_at_most
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.parallel import ranks
from tombola.training.start import Start
from tombola.training.trained import Trained


def name_of(stack: Sequence[Cell]) -> str:
    """A name for a stack that files may have: its first cell, and a digest of all."""
    digest = hashlib.sha256(" ".join(map(str, stack)).encode()).hexdigest()[:8]
    return f"{str(stack[0]).replace('/', '-')}-{digest}"


@dataclass(frozen=True)
class Asked:
    """What the other processes of torchrun are told of a stack: its study as TOML, its first cell, what it starts from,
    whether it is drawn in a lottery, the levels that this is asked for (None: all), how far it trains, and what decides
    the rounding."""

    study: str
    first: Cell
    starts: Sequence[Start]
    lottery: bool
    levels: tuple[int, ...] | None
    snapshot_at: int | None
    until: int | None
    device: str
    threads: int


@dataclass(frozen=True)
class StackTrainer:
    """Trains the cells of a folder that are not done. The make-up of stacks is recorded, so that a cell has the same
    bits whenever it is asked for. `lottery` says what a training does beside training: search for a mask, watch for
    one, take a snapshot; copies do nothing else."""

    folder: Run
    study: Study
    architecture: Architecture
    data: Resident
    record: EngineRecord
    progress: Progress
    lottery: Lottery | None = None

    @cached_property
    def size(self) -> int:
        """How many networks are trained as one stack at the most."""
        return networks_that_fit(self.architecture, self.data.device, self.study.recipe, self._engine)

    @property
    def _engine(self) -> str:
        engine: str = self.record.record["engine"]
        return engine

    def train(
        self,
        cells: Sequence[Cell],
        begin: Begin,
        done: Callable[[Cell], bool],
        store: Callable[[Sequence[Drawn], float], None],
    ) -> dict[Cell, Drawn]:
        """Train the stacks that have cells which are not `done`. `store` is handed these of each stack when it is
        trained, and the seconds that one of its networks took. Returns all cells of the stacks that were trained."""
        trained: dict[Cell, Drawn] = {}
        for stack in self.record.stacks(cells, done, self.size, self.planned):
            trained |= self.train_stack(stack, begin, done, store)
        return trained

    def train_stack(
        self,
        stack: Sequence[Cell],
        begin: Begin,
        done: Callable[[Cell], bool],
        store: Callable[[Sequence[Drawn], float], None],
    ) -> dict[Cell, Drawn]:
        """Train one stack as it is, of which some cells are not `done`, and `store` these; see `train`."""
        clock = training_clock()
        wanted = [cell for cell in stack if not done(cell)]
        drawn = train_cells(stack, begin, lambda starts: self._train_starts(stack, len(wanted), starts))
        seconds = (training_clock() - clock) / len(stack)
        self._checkpoint(stack).clear()
        store([drawn[cell] for cell in wanted], seconds)
        self.progress.landed(list(drawn.values()))
        return drawn

    @cached_property
    def planned(self) -> frozenset[Cell]:
        """The cells of the study, whether or not their ladders come so far; none where copies are trained."""
        return frozenset(self.study.cells() if self.lottery else ())

    def _checkpoint(self, stack: Sequence[Cell]) -> Checkpoint:
        """Each stack has its own, since several may be trained at a time, by several processes."""
        return Checkpoint(self.folder.path / f"{CHECKPOINT}-{name_of(stack)}.safetensors")

    def _train_starts(
        self, cells: Sequence[Cell], wanted: int, starts: Sequence[Start]
    ) -> Sequence[Trained | None]:
        """Train one stack as far as is asked; progress counts the steps of as many networks as are wanted."""
        study, first, last = self.study, cells[0], starts[0].iteration
        if self.lottery and not steps_at_most(study, first):
            return [None for _ in starts]

        def watch(iteration: int) -> None:
            nonlocal last
            self.progress.advance((iteration - last) * wanted, cells)
            last = iteration

        lottery, rewind, whole = self.lottery, study.pruning.rewind, study.recipe_at(first.level).iterations
        ends = goes_to(study, first) if lottery else whole
        until = None if ends == whole else ends
        snapshot_at = rewind if lottery and rewind and first.level == 0 else None
        here, record = ranks(), self.record.record
        if here:
            place = record["device"], record["threads"]
            levels = tuple(lottery.asked) if lottery and lottery.asked is not None else None
            told = Asked(
                study.to_toml(), first, starts, lottery is not None, levels, snapshot_at, until, *place
            )
            here.share(told)
        return train_stack(
            self.architecture,
            starts,
            self.data,
            study.recipe_at(first.level),
            study.data.validation,
            engine=self._engine,
            search=lottery.search(first) if lottery else None,
            watch=lottery.watch(first) if lottery else None,
            snapshot_at=snapshot_at,
            until=until,
            checkpoint=self._checkpoint(cells),
            progress=watch,
            ranks=here,
        )
