"""Runs in Python: every function takes a run, its folder, or the beginning of the folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

import tombola
from support.study_kit import run_tiny, tiny, toy_data
from tombola.errors import UserError
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.study.sweep import Member, Sweep


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("runs"), tiny(levels=1, arms=[{"name": "reinit"}]))


@pytest.mark.parametrize("how", ["run", "folder", "text", "name", "beginning"])
def test_a_run_may_be_given_in_any_way(how: str, run: Run) -> None:
    out = run.path.parent
    given = {"run": run, "folder": run.path, "text": str(run.path), "name": "tiny", "beginning": "ti"}[how]
    assert tombola.open_run(given, out).path == run.path
    assert tombola.results(given, runs=out).equals(results_of(run))
    status = tombola.status(given, runs=out)
    assert (status.run, status.state, status.done, status.planned) == (run.path.name, "finished", 6, 6)
    assert tombola.verdicts(given, runs=out).verdicts == ()
    found = tombola.compare(given, runs=out, measures=["jaccard"], n_null=1)
    assert found.pairs.equals(tombola.compare(run, measures=["jaccard"], n_null=1).pairs)


def test_results_without_times_have_no_seconds(run: Run) -> None:
    assert tombola.results(run, timed=False).columns == tombola.results(run).columns[:-1]


def test_reports(run: Run) -> None:
    page = tombola.write_report(run)
    assert page == run.path / "report" / "index.html"
    assert page.is_file()
    assert tombola.write_report("tiny", form="md", runs=run.path.parent).suffix == ".md"
    with pytest.raises(UserError, match=r"a document .* is of one run, found 2"):
        tombola.write_report(run, run, form="pdf")


def test_of_a_sweep(tmp_path: Path) -> None:
    seeds = tuple(Member({"seed": seed}, tiny(levels=0, arms=[], replicates=1, seed=seed)) for seed in (1, 2))
    sweep = tombola.run(Sweep(("seed",), seeds), out=tmp_path, data=toy_data(), threads=1, engine="mlp")
    assert tombola.results(sweep)["seed"].to_list() == [1, 2]
    assert tombola.results(sweep.path.name, runs=tmp_path).equals(tombola.results(sweep))
    assert tombola.write_report(sweep).is_file()
    with pytest.raises(UserError, match=f"'{sweep.path.name}' is a sweep of several runs, name one of them"):
        tombola.status(sweep)


def test_unknown_options_and_runs(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ouput"):
        tombola.run(tiny(), ouput=tmp_path)  # type: ignore[call-overload]
    with pytest.raises(UserError, match="no run 'quick' under"):
        tombola.results("quick", runs=tmp_path)
    with pytest.raises(UserError, match="not a run folder"):
        tombola.open_run(tmp_path)
