"""What a paper is written from: everything known of a run, or of a study that is yet to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import polars as pl

from tombola.analysis.compared import compared
from tombola.analysis.verdicts.of_run import Verdicts, verdicts_of
from tombola.comparison.decisions import DECISIONS
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.report.collect import tables_of
from tombola.report.page.provenance import commands
from tombola.report.tables import Tables
from tombola.runs.estimate import estimate_time
from tombola.runs.folder import Run
from tombola.runs.preregistration import Registration
from tombola.runs.progress import missing
from tombola.study.bind import bind
from tombola.study.plan import make_plan
from tombola.study.prospects import Prospect, prospects
from tombola.study.spec import Study
from tombola.training.device import pick_device


@dataclass(frozen=True)
class Layer:
    """A prunable layer: its name, the shape of its weights, and how many they are."""

    name: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Material:
    """All that a document draws on.

    name: of the run folder. tables, verdicts, environment: what was found; None and empty where nothing was run.
    layers, densities (of all planned levels, dense first): empty where they are not known; `unknown` says why.
    decisions: the rows of `compare.DECISIONS` of this run, None where nothing was compared. prospects: what each test
    of the study can give. undone: the cells that are missing. seconds: what they take, by those that are done or by a
    probe; None where nobody knows. recorded: the entry of hypotheses.json that was last written. repeat: the commands
    that make it again; empty where nothing was run.
    """

    study: Study
    name: str
    tables: Tables | None = None
    verdicts: Verdicts | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[Layer] = ()
    densities: Sequence[float] = ()
    unknown: str = ""
    decisions: pl.DataFrame | None = None
    prospects: Sequence[Prospect] = ()
    undone: Sequence[Cell] = ()
    seconds: float | None = None
    recorded: Mapping[str, Any] | None = None
    repeat: Sequence[str] = ()

    @property
    def begun(self) -> bool:
        """Whether any cell is done."""
        return self.tables is not None and not self.tables.results.is_empty()

    @property
    def finished(self) -> bool:
        """Whether every cell is done."""
        return not self.undone

    @property
    def weights(self) -> int:
        """Prunable weights of the network; 0 where they are not known."""
        return sum(layer.weights for layer in self.layers)


def material_of_run(run: Run, data_dir: Path | None = None) -> Material:
    """The material of a run, finished or not. Measures are not taken while it goes on."""
    study, tables, known = run.study, tables_of(run), Registration.of(run)
    dense = next((cell for cell in run.cells() if cell.arm == TICKET and cell.level == 0), None)
    layers = [Layer(name, tuple(mask.shape)) for name, mask in run.mask(dense).items()] if dense else []
    densities, unknown = list(known.densities), ""
    if not layers or len(densities) <= study.levels:
        layers, densities, unknown = _planned(study, data_dir, layers, list(tables.densities().values()))
    decisions = compared(run, "decisions", {"run": pl.String, **DECISIONS})
    if decisions is not None:
        decisions = decisions.filter(pl.col("run") == run.path.name)
    undone = missing(run, study)
    seconds = tables.results["seconds"].mean() if "seconds" in tables.results.columns else None
    return Material(
        study,
        run.path.name,
        tables,
        verdicts_of(run, measures=not run.is_locked(), data_dir=data_dir),
        run.environment,
        layers,
        densities[: study.levels + 1],
        unknown,
        decisions,
        prospects(study, densities[: study.levels + 1]) if densities else (),
        undone,
        len(undone) * seconds if isinstance(seconds, float) else None,
        known.history[-1] if known.history else None,
        commands(run),
    )


def material_of_study(study: Study, data_dir: Path | None = None) -> Material:
    """The material of a study that was not begun; the time it takes is from a short probe of this machine."""
    undone = study.cells()
    try:
        bound, dataset, net = bind(study, data_dir)
        plan = make_plan(bound, net)
        seconds = estimate_time(plan, dataset, pick_device("auto"), "auto").seconds
    except UserError as reason:
        return Material(study, study.folder, unknown=_why(study, reason), undone=undone)
    layers = [Layer(name, net.shapes[name]) for name in net.prunable]
    return Material(
        bound,
        bound.folder,
        layers=layers,
        densities=plan.densities,
        prospects=prospects(bound, plan.densities),
        undone=undone,
        seconds=seconds,
    )


def _planned(
    study: Study, data_dir: Path | None, layers: list[Layer], found: list[float]
) -> tuple[list[Layer], list[float], str]:
    """Layers and densities by the plan; those that were found, and why, where it cannot be made any more."""
    if len(found) > study.levels and layers:
        return layers, found, ""
    try:
        bound, _, net = bind(study, data_dir)
        plan = make_plan(bound, net)
    except UserError as reason:
        return layers, found, _why(study, reason)
    return layers or [Layer(name, net.shapes[name]) for name in net.prunable], plan.densities, ""


def _why(study: Study, reason: UserError) -> str:
    """A reason to print: of data that are not here, without the folders of this machine."""
    missing_data = f"data set '{study.data.name}'"
    return f"{missing_data} was not found on this machine" if missing_data in str(reason) else str(reason)
