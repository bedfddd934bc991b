"""The work of a run as units: its stacks, which of them are left, and which of these can be trained now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tombola.lottery.cell import Cell
from tombola.runs.cells.name import cell_named
from tombola.runs.progress import Ends, is_done
from tombola.runs.stacks import name_of
from tombola.runs.work.edges import Part, needs
from tombola.runs.work.worker import Worker


@dataclass(frozen=True)
class Unit:
    """Cells that are trained as one stack; `part` says which ladders they belong to."""

    part: Part
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """A name that files may have."""
        return f"{self.part.replace('/', '-') or 'run'}-{name_of(self.cells)}"

    @property
    def replicates(self) -> frozenset[int]:
        """Those that its cells belong to."""
        return frozenset(cell.replicate for cell in self.cells)


class Units:
    """The units of a run, as its folder tells of them; what is stored is looked for once, and remembered."""

    def __init__(self, workers: Mapping[Part, Worker]) -> None:
        """`workers` of the ladders beside a run come before its own."""
        self._workers = workers
        self._ends = {part: Ends(worker.plan.study) for part, worker in workers.items()}
        self._stored: set[tuple[Part, Cell]] = set()
        self._left = [unit for part, worker in workers.items() for unit in _units(part, worker)]
        self._needs: dict[Unit, frozenset[tuple[Part, Cell]]] = {}

    def left(self) -> int:
        """How many units have cells that are still to be stored."""
        self.ready()
        return len(self._left)

    def ready(self) -> list[Unit]:
        """The units that can be trained now, in the order of training."""
        waiting: set[tuple[Part, Cell]] = set()  # each cell is looked for once
        ready, left = list[Unit](), list[Unit]()
        for unit in self._left:
            unsettled = next(
                (need for need in self._needed(unit) if need in waiting or not self._settled(need)), None
            )
            if unsettled is not None:
                waiting.add(unsettled)
            elif not self.is_done(unit):
                ready.append(unit)
            else:
                continue
            left.append(unit)
        self._left = left
        return ready

    def is_done(self, unit: Unit) -> bool:
        """Whether every cell of a unit is stored, or lies above the end of its ladder."""
        return all(self._settled((unit.part, cell)) for cell in unit.cells)

    def _settled(self, place: tuple[Part, Cell]) -> bool:
        """Whether a cell is stored or will never come. What is below it has to be asked for first."""
        part, cell = place
        ends, worker = self._ends[part], self._workers[part]
        if place in self._stored or ends.beyond(cell):
            return True
        if not is_done(worker.folder, worker.plan.study, cell):
            return False
        if ends.decides(cell):
            ends.note(cell, worker.folder.record(cell).status)
        self._stored.add(place)
        return True

    def _needed(self, unit: Unit) -> frozenset[tuple[Part, Cell]]:
        if unit not in self._needs:
            beside = {part: worker.plan.study for part, worker in self._workers.items() if part}
            study, own = self._workers[unit.part].plan.study, set(unit.cells)
            found = {need for cell in unit.cells for need in needs(study, cell, beside)}
            self._needs[unit] = frozenset(
                (part or unit.part, cell) for part, cell in found if part or cell not in own
            )
        return self._needs[unit]


def _units(part: Part, worker: Worker) -> Iterable[Unit]:
    """The stacks of a folder that have cells of its study, by level."""
    planned = worker.trainer.planned
    stacks = ([cell_named(name) for name in stack] for stack in worker.trainer.record.record["stacks"])
    found = [Unit(part, tuple(stack)) for stack in stacks if not planned.isdisjoint(stack)]
    return sorted(found, key=lambda unit: unit.cells[0].level)
