"""What every ticket of a run cost: its own training, and the trainings that its mask and its start took.

The ordinary ticket of a level took all trainings of its ladder up to it. An arm took what its actions look at; a ticket
that a route made took what its sources took. Donors and sources that lend to several replicates are shared out among
these, each paying an equal part; what it would be to pay them alone stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import polars as pl

from tombola.analysis.lenders import shared_lenders, sources_of, taken_by
from tombola.errors import UserError
from tombola.lottery.arms.catalog import CONTINUED, TICKET
from tombola.lottery.cell import Cell
from tombola.metrics import ACCURACY, METRICS
from tombola.models.architecture import architecture
from tombola.runs.folder import Run
from tombola.several import Several
from tombola.study.ladders import TWINS
from tombola.study.routes import DONORS
from tombola.study.spec import Study
from tombola.training.search.bird import EARLY_BIRD, SHORT_ROUNDS
from tombola.transfer.cost import Cost, Use, of_route, of_weights, uses_of
from tombola.transfer.taking import Took, looks_at_lenders

AMOUNTS = ("iterations", "operations", "seconds")
"""What a cost is told in."""
COSTS = {
    "replicate": pl.Int64,
    "level": pl.Int64,
    "arm": pl.String,
    "draw": pl.Int64,
    "status": pl.String,
    "density": pl.Float64,
    "early_stop_test_accuracy": pl.Float64,
    "way": pl.String,
    "lenders": pl.String,
    **{f"{part}{amount}": pl.Float64 for part in ("", "alone_", "training_") for amount in AMOUNTS},
}
"""Columns of `costs_of`: the whole cost of a ticket, shared out; the same where it had all sources to pay alone; and
that of its own training. In studies by another metric than accuracy that is in its place. `way` says what sort of arm
it is: the `ticket`, a `route`, a `control` of one, an arm `beside` the ticket that takes its ladder, or one that does
`without`; `lenders` are those that several replicates take from ('4 donors'; '' where each has its own)."""


def costs_of(run: Run) -> pl.DataFrame:
    """One row a cell that is done, in order. Operations are null for networks that cannot be built from the study
    alone. Raises UserError where the study in the folder is not that of the cells."""
    every = Accounts(run)
    rows = []
    for cell, record in every.home.records.items():
        own, shares = every.home.training(cell), list(every.shares(cell))
        # In the order of COSTS: shared out, alone, of its own training.
        parts = (of_route(own, shares), of_route(own, [(cost, 1) for cost, _ in shares]), own)
        amounts = [getattr(cost, amount) for cost in parts for amount in AMOUNTS]
        known = (
            record.status,
            record.density,
            record.early_stop_test,
            every.way(cell),
            every.lenders(cell.arm),
        )
        rows.append((*vars(cell).values(), *known, *amounts))
    frame = pl.DataFrame(rows, schema=COSTS, orient="row")
    column = METRICS[run.study.recipe.metric].early_stop if rows else ACCURACY.early_stop
    return frame.rename({ACCURACY.early_stop: column}).with_columns(
        pl.col(name).fill_nan(None) for name in COSTS if name.endswith("operations")
    )


class Books:
    """What the trainings in one folder cost: those of a run, or of ladders beside it."""

    def __init__(self, folder: Run, study: Study) -> None:
        self.folder, self.study, self.records = folder, study, folder.records()
        self.training = cache(self._training)
        self._uses = _uses_of(folder, study)

    def mask(self, r: int, level: int, whole: bool = False) -> Cost:
        """What the mask of the ticket of a replicate at a level took, and what it goes back to; `whole`: and the end of
        its dense training, by which it is aligned."""
        mode, rewind = self.study.pruning.mode, self.study.pruning.rewind

        def dense(iteration: int | None) -> Cost:
            return self.dense(r, None if whole else iteration)

        if mode in ("iterative", CONTINUED):
            arm = CONTINUED if mode == CONTINUED else TICKET
            below = [self.training(Cell(r, each, arm, 0)) for each in range(1, level)]
            return sum(below, self.dense(r))
        if mode == "one-shot":
            return self.dense(r)
        if mode == EARLY_BIRD:
            return dense(self._found(r, level))
        if mode == SHORT_ROUNDS:
            below = [
                self._until(Cell(r, each, TICKET, 0), self._found(r, each + 1)) for each in range(1, level)
            ]
            return sum(below, dense(self._found(r, 1)))
        start = dense(rewind)
        return start if mode == "at-init" else start + self.training(Cell(r, level, mode, 0))

    def dense(self, r: int, iteration: int | None = None) -> Cost:
        """What the dense network of a replicate took, up to an iteration, and at least to that which tickets go back
        to."""
        end = None if iteration is None else max(iteration, self.study.pruning.rewind)
        return self._until(Cell(r, 0, TICKET, 0), end)

    def _until(self, cell: Cell, iteration: int | None) -> Cost:
        """What a training took up to an iteration, or to its end."""
        whole = self.training(cell)
        if iteration is None or not whole.iterations:
            return whole
        return whole.part(min((iteration - self.study.first_iteration(cell)) / whole.iterations, 1.0))

    def _found(self, r: int, level: int) -> int | None:
        """The iteration at which the mask of a level was seen in the training of another; None where it was not."""
        record = self.records.get(Cell(r, level, TICKET, 0))
        return record.found_iteration if record else None

    def _training(self, cell: Cell) -> Cost:
        """What one training took; of a search, whose masks move, as if it were dense throughout. Nothing where there
        is none, because a ladder has ended or a mask is empty."""
        record, study = self.records.get(cell), self.study
        if record is None or record.iterations is None:
            return Cost()
        living = dict(record.alive)
        if cell.arm == study.search_arm:
            living = dict(self.folder.record(Cell(cell.replicate, 0, TICKET, 0)).alive)
        operations = float("nan")
        if self._uses is not None:
            operations = of_weights(self._uses, living, record.iterations, study.recipe.batch)
        return Cost(record.iterations, operations, self.folder.seconds(cell))


class Accounts:
    """The books of a run and of the ladders beside it, and who pays what."""

    def __init__(self, run: Run) -> None:
        study = run.study
        self.study, self.home = study, Books(run, study)
        self.beside = {each.kind: Books(each, each.study) for each in run.ladders()}
        self._routes = {arm.name: arm for arm in study.route_arms}
        self._arms = study.treatments
        self._taken = cache(partial(taken_by, study))
        self.lenders = cache(lambda arm: shared_lenders(study, [arm]))

    def way(self, cell: Cell) -> str:
        """What sort of arm a cell's is, see `COSTS`."""
        if cell.arm in self._routes:
            return "route" if any(route.name == cell.arm for route in self.study.route) else "control"
        if cell.arm == TICKET:
            return TICKET
        searched = cell.arm == self.study.search_arm
        return "beside" if searched or Took.LADDER in self._taken(cell.arm) else "without"

    def shares(self, cell: Cell) -> Iterator[tuple[Cost, int]]:
        """What a cell's ticket took beside its own training, each with how many replicates share it."""
        r, level = cell.replicate, cell.level
        if not level:
            return
        if cell.arm == self.study.search_arm:  # a search starts from the initial weights
            return
        for took in self._taken(cell.arm):
            if took == Took.LADDER:
                yield self.home.mask(r, level), 1
            elif took == Took.DENSE:
                yield self.home.dense(r), 1
            elif took == Took.START:
                yield self.home.dense(r, self.study.pruning.rewind), 1
            elif took == Took.OWN:
                yield (
                    sum(
                        (self.home.training(Cell(r, each, cell.arm, cell.draw)) for each in range(1, level)),
                        Cost(),
                    ),
                    1,
                )
            elif took == Took.TWIN:
                yield self.beside[TWINS].mask(r, level, whole=True), 1
            else:
                yield from self._donors(r, level, took == Took.DONORS, self._aligns(cell.arm))
        for source in sources_of(self.study, cell.arm):
            yield from self._lent(self.beside[source], r, level)

    def _aligns(self, arm: str) -> bool:
        """Whether an arm looks at the trained dense networks of the donors."""
        route = self._routes.get(arm)
        return route.aligned if route else looks_at_lenders(self._arms[arm])

    def _donors(self, r: int, level: int, every: bool, whole: bool) -> Iterator[tuple[Cost, int]]:
        books = self.beside[DONORS]
        if not every:
            yield from self._lent(books, r, level, whole)
            return
        for number in range(books.study.replicates):
            yield books.mask(number, level, whole), self.study.replicates

    def _lent(self, books: Books, r: int, level: int, whole: bool = False) -> Iterator[tuple[Cost, int]]:
        """What one ladder lends to replicate r, and to how many others."""
        count = books.study.replicates
        yield books.mask(r % count, level, whole), len(range(r % count, self.study.replicates, count))


def _uses_of(folder: Run, study: Study) -> dict[str, Use] | None:
    """How an example uses the weights of a folder's network, built anew; None where it cannot be."""
    network = folder.environment.get("network")
    if network is None:
        return None
    try:
        shape, several = tuple(network["input_shape"]), Several.read(network.get("several"))
        return uses_of(architecture(study.model, shape, network["classes"], several=several))
    except UserError:
        return None
