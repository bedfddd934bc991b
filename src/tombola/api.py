"""The front door in Python to runs: run a study, compare and connect what it trained, write its report.

What only reads runs is in `tombola.reading`, what trains single networks in `tombola.networks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, overload

from tombola.alignment.subject import Subject
from tombola.analysis.compare_runs import CompareKeywords, Comparison, compare_runs
from tombola.analysis.connection import Connection, connect_run
from tombola.comparison.importers import subjects_from
from tombola.errors import UserError
from tombola.runs.folder import Run
from tombola.runs.locate import Named, find, find_run, is_run
from tombola.runs.run_options import RunKeywords, RunOptions
from tombola.runs.runner import run_study, run_sweep
from tombola.runs.sweeps import SweepRun
from tombola.study.load import load_sweep
from tombola.study.spec import Study
from tombola.study.sweep import Sweep


@overload
def run(what: Study, *, settings: Sequence[str] = (), **options: Unpack[RunKeywords]) -> Run: ...
@overload
def run(what: Sweep, *, settings: Sequence[str] = (), **options: Unpack[RunKeywords]) -> SweepRun: ...
@overload
def run(
    what: str | Path, *, settings: Sequence[str] = (), **options: Unpack[RunKeywords]
) -> Run | SweepRun: ...


def run(
    what: Study | Sweep | str | Path, *, settings: Sequence[str] = (), **options: Unpack[RunKeywords]
) -> Run | SweepRun:
    """Run a study or a sweep (or a preset's name or a TOML file of either, with `key=value` settings put over it) and
    return its folder.

    The options: `out`, the folder that the run's lies in ("runs"; a URL is a `mirror`); `model` and `data`, in the
    place of what the study names; `data_dir`; `device`, `engine` ("auto") and `threads`; `progress`, which watches;
    `track`, the names of trackers ("tensorboard", ...) that are told of every cell; `on` ("local:4"), `each` and
    `shard` ("1/8"), which say who trains; `mirror`, where a copy is kept. See `tombola.runs.run_options`, and
    `run_study` and `run_sweep` of `tombola.runs.runner`. Raises UserError for a user's mistake.
    """
    if not isinstance(what, Study | Sweep | str | Path):
        raise UserError(
            f"what is run is of type {type(what).__name__}, expected a tombola.Study (Study.model_validate(table) "
            "makes one), a preset's name or a TOML file"
        )
    if isinstance(settings, str | Mapping):
        raise UserError(f"settings is {settings!r}, expected a list of 'key=value'")
    if not isinstance(what, Study | Sweep):
        found = load_sweep(str(what), settings)
        handed_in = options.get("model") is not None or options.get("data") is not None
        if handed_in and not any(s.startswith("title") for s in settings):
            found = found.untitled()  # the file was not written of these
        what = found if found.keys else found.first
    chosen = RunOptions.of(options)
    return run_sweep(what, chosen) if isinstance(what, Sweep) else run_study(what, chosen)


def compare(*tickets: Named, runs: Path | str = "runs", **options: Unpack[CompareKeywords]) -> Comparison:
    """Compare the tickets of runs, and masks in files made elsewhere, in pairs.

    Runs are given as such, by their folder, or by the beginning of its name under `runs`. Without `level` or `density`
    those of every level below dense. Options are those of `tombola.analysis.compare_runs.compare_runs`: measures,
    alignments, nulls and more. For objects in memory there are `tombola.comparison.pairs.compare` and
    `tombola.comparison.decisions.decide`. Raises UserError for a user's mistake.
    """
    ours, others = list[Run](), list[Subject]()
    for given in tickets:
        if not isinstance(given, Run | SweepRun | str | Path):
            raise UserError(
                f"what is compared is of type {type(given).__name__}, expected a run, its name, or a file of a mask; "
                "for tickets in memory there is tombola.comparison.pairs.compare"
            )
        if not isinstance(given, Run | SweepRun) and Path(given).exists() and not is_run(Path(given)):
            others += subjects_from(Path(given))
        else:
            ours += find(given, runs).runs.values()
    return compare_runs(ours, others, **options)


def connect(run: Named, *, runs: Path | str = "runs", **options: Any) -> Connection:
    """Measure what lies between pairs of a run's networks, training the copies that this takes.

    The run is given as `compare` takes it; the options are those of `tombola.analysis.connection.connect_run`. Raises
    UserError for a user's mistake.
    """
    return connect_run(find_run(run, runs), **options)


def write_report(
    *found: Named,
    form: str = "html",
    template: str = "paper",
    runs: Path | str = "runs",
    data_dir: Path | None = None,
) -> Path:
    """Write the report of a run or a sweep, finished or not, or of several on one page, and return its path.

    `form` is html (the page), or pdf, md, typst or slides: a document of one run, by a `template` ("paper" or
    "proposal"). Runs are given as `compare` takes them. Raises UserError for a user's mistake.
    """
    if form == "html":
        from tombola.report.page.compose import (
            write_reports,  # here: what draws and typesets is slow to import
        )

        return write_reports([find(each, runs) for each in found])
    if len(found) != 1:
        raise UserError(f"a document (form '{form}') is of one run, found {len(found)}")
    from tombola.report.paper.write import write_document

    run = find_run(found[0], runs)
    return write_document(run, form, template, out=run.path / "report", data_dir=data_dir)
