"""MLflow: a run for the study and a nested one a cell, in a file store under `track/mlflow`.

A server is only talked to where MLFLOW_TRACKING_URI names one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl

from tombola.runs.trackers.base import TRACKERS, Landed, needed, parameters
from tombola.study.spec import Study
from tombola.study.title import title_of

ADDRESS = "MLFLOW_TRACKING_URI"
ALLOWED = "MLFLOW_ALLOW_FILE_STORE"
"""MLflow asks for this word before it writes plain files, which it keeps but develops no further."""
BATCH = 1000
"""Metrics that MLflow takes in one call."""
LONGEST = 6000
"""Characters that MLflow keeps of a parameter."""


@TRACKERS.register("mlflow", "a file store of MLflow in the run folder, or its server (Zaharia et al. 2018)")
class MLflow:
    """Hyper-parameters with the study's run; numbers and curves (step = iteration) with each cell's."""

    def __init__(self) -> None:
        self._mlflow = needed("mlflow", "mlflow")
        self._entities = needed("mlflow.entities", "mlflow")

    def begin(self, study: Study, folder: Path) -> None:
        """Find the study's run, or make it; a cell's that a killed process did not finish is dropped."""
        address = os.environ.get(ADDRESS)
        if not address:
            os.environ.setdefault(ALLOWED, "true")
            address = folder.resolve().as_uri()
        self._client: Any = self._mlflow.MlflowClient(tracking_uri=address)
        name = "tombola"
        known = self._client.get_experiment_by_name(name)
        self._experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._study = study.folder
        self._parent = self._own_run(study)
        sizes = {"levels": study.levels, "replicates": study.replicates}
        for key, value in {"title": title_of(study), **sizes}.items():
            self._client.set_tag(self._parent, key, str(value))
        for half in self._runs("cell", "RUNNING"):
            self._client.delete_run(half)

    def landed(self, cell: Landed) -> None:
        """A finished run of its own, nested in the study's."""
        place = {name: str(value) for name, value in cell.place.items()}
        tags = {"tombola.study": self._study, "tombola.kind": "cell", "mlflow.parentRunId": self._parent}
        run = self._client.create_run(
            self._experiment, run_name=cell.tag, tags={**tags, **place, "status": cell.status}
        ).info.run_id
        metric, last, metrics = self._entities.Metric, 0, []
        for iteration, values in cell.curves():
            last = iteration
            metrics += [metric(name, value, 0, iteration) for name, value in values.items()]
        numbers = {"density": cell.density, **cell.numbers}
        metrics += [metric(name, value, 0, last) for name, value in numbers.items()]
        params = [self._entities.Param(name, value) for name, value in place.items()]
        self._client.log_batch(run, params=params)
        for begun in range(0, len(metrics), BATCH):
            self._client.log_batch(run, metrics=metrics[begun : begun + BATCH])
        self._client.set_terminated(run)

    def end(self, results: pl.DataFrame) -> None:
        """Note on the study's run how many cells are done."""
        self._client.log_metric(self._parent, "cells", len(results), step=len(results))
        self._client.set_terminated(self._parent)

    def _own_run(self, study: Study) -> str:
        for run in self._runs("study"):
            self._client.update_run(run, status="RUNNING")
            return run
        tags = {"tombola.study": self._study, "tombola.kind": "study"}
        made: str = self._client.create_run(self._experiment, run_name=self._study, tags=tags).info.run_id
        known = parameters(study).items()
        params = [self._entities.Param(name, str(value)[:LONGEST]) for name, value in known]
        for begun in range(0, len(params), 100):
            self._client.log_batch(made, params=params[begun : begun + 100])
        return made

    def _runs(self, kind: str, status: str = "") -> list[str]:
        asked = f"tags.`tombola.study` = '{self._study}' and tags.`tombola.kind` = '{kind}'"
        if status:
            asked += f" and attributes.status = '{status}'"
        return [run.info.run_id for run in self._client.search_runs([self._experiment], filter_string=asked)]
