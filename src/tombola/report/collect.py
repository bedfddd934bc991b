"""From a run folder to the tables that pictures are drawn from."""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tombola.lottery import TICKET
from tombola.report.tables import Tables
from tombola.study import Run, histories, planned_cells, results, summary


def tables_of(run: Run) -> Tables:
    """The tables of a run, finished or not."""
    study = run.study
    history = histories(run)
    return Tables.collect(
        study.title or study.name,
        results(run),
        None if history.is_empty() else history,
        summary,
        masks_map=input_maps(run),
        cells_planned=len(planned_cells(study)),
    )


def input_maps(run: Run) -> dict[int, NDArray[Any]] | None:
    """Level -> [H, W]: first-layer weights that live at each input pixel of the tickets, summed over channels and
    averaged over replicates. None where the first layer does not see every pixel of an image by itself."""
    network = run.environment.get("network")
    if network is None:
        return None
    shape, first = network["input_shape"], network["prunable"][0]
    found: dict[int, list[NDArray[Any]]] = defaultdict(list)
    for cell in run.cells():
        if cell.arm == TICKET:
            mask = run.mask(cell)[first]
            if len(shape) != 3 or mask.dim() != 2 or mask.shape[1] != prod(shape):
                return None
            found[cell.level].append(mask.sum(0).view(*shape).sum(0).numpy())
    return {level: np.mean(maps, axis=0) for level, maps in sorted(found.items())}
