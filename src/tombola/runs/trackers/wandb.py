"""Weights & Biases: one run a study, kept offline under `track/wandb` (`wandb sync` sends it) unless WANDB_MODE says
otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl

from tombola.runs.trackers.base import TRACKERS, Landed, needed, parameters
from tombola.study.spec import Study


@TRACKERS.register(
    "wandb", "a run of Weights & Biases, offline unless WANDB_MODE says otherwise (Biewald 2020)"
)
class WandB:
    """Curves as `LEVEL/ARM/REPLICATE/DRAW/loss/SPLIT` over `iteration`; the cells' numbers in the run's summary."""

    def __init__(self) -> None:
        self._wandb = needed("wandb", "wandb")

    def begin(self, study: Study, folder: Path) -> None:
        """Begin the run of the study, or take it up by its id."""
        self._run: Any = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "tombola"),
            name=study.folder,
            id=study.folder,
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),
            dir=str(folder),
            config={**parameters(study), "levels": study.levels, "replicates": study.replicates},
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )
        self._run.define_metric("iteration", hidden=True)
        self._run.define_metric("*", step_metric="iteration")

    def landed(self, cell: Landed) -> None:
        """Log the curves and the numbers of a cell."""
        for iteration, values in cell.curves():
            named = {f"{cell.tag}/{name}": value for name, value in values.items()}
            self._run.log({**named, "iteration": iteration})
        numbers = {"density": cell.density, "status": cell.status, **cell.numbers}
        self._run.summary.update({f"{cell.tag}/{name}": value for name, value in numbers.items()})

    def end(self, results: pl.DataFrame) -> None:
        """Note how many cells are done, and close the run."""
        self._run.summary["cells"] = len(results)
        self._run.finish()
