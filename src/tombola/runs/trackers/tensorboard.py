"""TensorBoard: event files under `track/tensorboard`, a folder a cell, so that any cells can be put on one chart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from tombola.runs.trackers.base import TRACKERS, Landed, needed, parameters
from tombola.study.spec import Study

PLAIN = (bool, int, float, str)
"""What TensorBoard takes as a hyper-parameter."""


@TRACKERS.register("tensorboard", "event files for TensorBoard in the run folder (Abadi et al. 2016)")
class TensorBoard:
    """Curves as scalars with step = iteration, the cell's numbers at its last iteration, and hyper-parameters."""

    def __init__(self) -> None:
        needed("tensorboard", "tensorboard")
        self._torch = needed("torch.utils.tensorboard", "tensorboard")
        self._summary = needed("torch.utils.tensorboard.summary", "tensorboard")

    def begin(self, study: Study, folder: Path) -> None:
        """Remember where, and with which hyper-parameters."""
        self._folder = folder
        self._parameters = {k: v for k, v in parameters(study).items() if isinstance(v, PLAIN)}

    def landed(self, cell: Landed) -> None:
        """Write the event file of a cell; what a killed process left of it goes first."""
        place = self._folder / cell.tag
        shutil.rmtree(place, ignore_errors=True)
        writer = self._torch.SummaryWriter(str(place))
        try:
            self._write(writer, cell)
        finally:
            writer.close()

    def end(self, results: pl.DataFrame) -> None:
        """Nothing is left to write."""

    def _write(self, writer: Any, cell: Landed) -> None:
        last = 0
        for iteration, values in cell.curves():
            last = iteration
            for name, value in values.items():
                writer.add_scalar(name, value, iteration)
        numbers = {"density": cell.density, **cell.numbers}
        for name, value in numbers.items():
            writer.add_scalar(name, value, last)
        writer.add_text("status", cell.status, last)
        about = {**self._parameters, **cell.place}
        for summary in self._summary.hparams(about, dict.fromkeys(numbers, 0)):
            writer.file_writer.add_summary(summary)
