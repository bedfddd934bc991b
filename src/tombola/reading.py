"""What can be asked of runs in Python, finished or not, without waiting for torch.

Every function takes a run as such, by its folder, or by the beginning of the folder's name under `runs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tombola.analysis.verdicts.of_run import Verdicts, verdicts_of
from tombola.frames import pandas_of
from tombola.plugins.trusted import accept
from tombola.runs.folder import Run
from tombola.runs.locate import Named, find, find_run
from tombola.runs.progress import Headway
from tombola.runs.results import results_of
from tombola.runs.sweeps import SweepRun, sweep_results


def open_run(name: Named, runs: Path | str = "runs") -> Run:
    """The run of this folder or name. Raises UserError for none, for several, and for a sweep."""
    return find_run(name, runs)


def results(run: Named, *, runs: Path | str = "runs", timed: bool = True) -> pl.DataFrame:
    """One row a cell that is done, of a run or of all runs of a sweep; see `tombola.runs.results.results_of`."""
    found = find(run, runs)
    return (
        sweep_results(found, timed=timed) if isinstance(found, SweepRun) else results_of(found, timed=timed)
    )


def to_pandas(what: Named | pl.DataFrame, *, runs: Path | str = "runs") -> Any:
    """Results as a pandas.DataFrame: those of a run or a sweep, or any table that Tombola gives. `Verdicts` and
    `Comparison` have a method of this name. Raises UserError where pandas is not installed."""
    return pandas_of(what if isinstance(what, pl.DataFrame) else results(what, runs=runs))


def trust(run: Named, *, runs: Path | str = "runs") -> None:
    """Accept the code that a run names, as it is now: its imports, and its network where that is your own. From now on
    it is run where it is needed, without being asked for. Raises UserError for a run that is not there."""
    for each in find(run, runs).runs.values():
        accept(each.study.code)


def status(run: Named, *, runs: Path | str = "runs") -> Headway:
    """How far a run is: its state, and cells done and planned of each arm at each level."""
    return find_run(run, runs).headway()


def verdicts(run: Named, *, runs: Path | str = "runs", data_dir: Path | None = None) -> Verdicts:
    """Decide the hypotheses of a run: `.frame()` has a row a test. See `tombola.analysis.verdicts.of_run`."""
    return verdicts_of(find_run(run, runs), data_dir=data_dir)
