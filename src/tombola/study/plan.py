"""From a study to its cells: what will be trained, at which densities, and what it will cost."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tombola.errors import UserError
from tombola.lottery import Cell, Lottery, level_cells
from tombola.masks import ladder, rates_for
from tombola.models import Architecture, unit_axes
from tombola.study.spec import ArmSpec, Study

CURVE_ROW, SMALL_FILES = 14, 4_000
"""Bytes of one row of a history, packed, and of a cell's records and headers: measured, and about right."""


@dataclass(frozen=True)
class Plan:
    """A study bound to an architecture: its lottery with the exact ladder, and its cells."""

    study: Study
    architecture: Architecture
    lottery: Lottery

    @property
    def densities(self) -> list[float]:
        """Density of each level, dense first."""
        size = sum(prod(self.architecture.shapes[name]) for name in self.architecture.prunable)
        return [sum(counts.values()) / size for counts in self.lottery.alive]

    @property
    def pinned(self) -> bool:
        """Whether some arm freezes dead weights, at values that may not be zero."""
        return any(arm.pins for arm in self.lottery.treatments.values())

    def cells(self) -> list[Cell]:
        """Every cell of the study, in the order of training."""
        return planned_cells(self.study)

    def network_iterations(self, cell: Cell) -> int:
        """Optimizer steps that a cell takes."""
        return self.study.recipe.iterations - (self.study.pruning.rewind if cell.level else 0)

    def bytes_on_disk(self) -> int:
        """About how much the run folder will hold: masks, curves, and the kept weights as float32."""
        study, shapes = self.study, self.architecture.shapes
        params = sum(prod(shape) for shape in shapes.values())
        prunable = sum(prod(shapes[name]) for name in self.architecture.prunable)
        keep, rewound = study.store.keep, study.pruning.rewind > 0
        # A replicate's initial weights, and those of the iteration that its tickets go back to.
        total = study.replicates * params * 4 * ((keep != "masks") + rewound)
        for cell in self.cells():
            living = params - prunable + prunable * self.densities[cell.level]
            # The end, the best, and a start of its own where the weights are not the ticket's.
            arm = self.lottery.treatments[cell.arm]
            ends = 2 * (params if keep == "all" or arm.pins else living)
            own = 0 if arm.rewinds else params if arm.pins else living
            start = study.pruning.rewind if cell.level else 0
            rows = len(study.recipe.evaluations(start)) + 2 * len(study.recipe.curve_points(start))
            weights = 0 if keep == "masks" else 4 * (ends + own)
            total += int(prunable / 8 + weights + CURVE_ROW * rows + SMALL_FILES)
        return total


def planned_cells(study: Study) -> list[Cell]:
    """Every cell of a study, in the order of training."""
    levels, replicates = range(study.levels + 1), range(study.replicates)
    return [c for level in levels for r in replicates for c in level_cells(r, level, study.arms_at(level))]


def make_plan(study: Study, architecture: Architecture) -> Plan:
    """Bind a study to an architecture.

    Raises UserError when a rate names nothing, a ladder would empty a layer, or an arm needs what is not there.
    """
    rule = study.pruning.rule
    rates = rates_for(rule, architecture.roles)
    shapes = {name: architecture.shapes[name] for name in architecture.prunable}
    alive = ladder(shapes, rates, rule.allocation, study.levels, rule.structure)
    for arm in study.arms:
        _require_what_it_needs(arm, study.replicates, architecture)
    lottery = Lottery(
        architecture=architecture,
        rule=rule,
        rates=rates,
        alive=alive,
        rewind=study.pruning.rewind,
        mode=study.pruning.mode,
        arms=study.arms_at,
        treatments=study.treatments,
    )
    return Plan(study, architecture, lottery)


def _require_what_it_needs(entry: ArmSpec, replicates: int, architecture: Architecture) -> None:
    """Raise UserError for an arm that draws new weights where there is nothing to draw them from, takes the mask
    of a partner where some replicate has none, or reorders hidden units that cannot be told apart."""
    traits = entry.arm.traits
    if "initialiser" in traits and not architecture.can_reinit:
        raise UserError(
            f"arm '{entry.name}' draws new weights, and {architecture.name} has no initialiser to draw them "
            "from; hand in a factory that draws its weights, or leave the arm out"
        )
    if "partner" in traits and replicates % 2:
        raise UserError(
            f"arm '{entry.name}' takes the mask of the partner replicate (0 and 1, 2 and 3, ...), so that "
            f"replicates must be even, found {replicates}"
        )
    if "units" in traits:
        try:
            hidden = unit_axes(architecture)
        except UserError as problem:
            raise UserError(f"arm '{entry.name}' reorders hidden units: {problem}") from None
        if not hidden:
            raise UserError(f"arm '{entry.name}' reorders hidden units, and {architecture.name} has none")
