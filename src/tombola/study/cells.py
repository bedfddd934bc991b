"""The cells of a study."""

from __future__ import annotations

from tombola.lottery.cell import Cell, level_cells
from tombola.study.spec import Study


def planned_cells(study: Study) -> list[Cell]:
    """Every cell of a study, in the order of training."""
    levels, replicates = range(study.levels + 1), range(study.replicates)
    return [
        cell
        for level in levels
        for r in replicates
        for cell in level_cells(r, level, study.arms_at(level), study.search_arm)
    ]
