"""Ladders that end: networks that diverge or collapse are stored with a status, and the others go on."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from support.study_kit import Notes, run_tiny, times, tiny
from tombola.analysis.contrasts import claims
from tombola.lottery.cell import Cell
from tombola.models.initializers import glorot
from tombola.runs.progress import missing
from tombola.runs.results import results_of, summary
from tombola.study.spec import Study

ARCHITECTURE = importlib.import_module("tombola.models.architecture")


def test_a_diverged_ladder_ends_and_the_results_have_nulls(tmp_path: Path) -> None:
    study = tiny(recipe={"optimizer": "sgd", "lr": 1e30})
    notes = Notes()
    run = run_tiny(tmp_path, study, progress=notes)
    assert {str(cell): run.record(cell).status for cell in run.cells()} == {
        "r0/L00/ticket/0": "diverged",
        "r1/L00/ticket/0": "diverged",
    }
    frame = results_of(run)
    assert frame["early_stop_val_loss"].is_nan().sum() == 0
    assert frame["status"].to_list() == ["diverged", "diverged"]
    assert missing(run, study) == []
    before = times(run.path)
    run_tiny(tmp_path, study, progress=(again := Notes()))
    assert times(run.path) == before
    assert (again.total, again.done) == (40, 40), "what lies beyond the end is not promised"


def test_a_network_that_never_was_finite_has_no_early_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blown_up(module: Any, rng: Any) -> Any:
        return {name: tensor * 1e38 for name, tensor in glorot(module, rng).items()}

    monkeypatch.setattr(ARCHITECTURE, "glorot", blown_up)
    run = run_tiny(tmp_path, tiny(replicates=1))
    (row,) = results_of(run).to_dicts()
    assert row["status"] == "diverged"
    assert (row["early_stop_iteration"], row["early_stop_val_loss"]) == (None, None)
    assert row["iterations"] == 20
    assert summary(results_of(run), "early_stop_iteration").is_empty()
    assert claims(results_of(run)) == []


def collapsing() -> Study:
    """Global pruning that empties the last layer at level 1, since its weights stay tiny (see the test)."""
    return tiny(
        levels=2,
        recipe={"iterations": 4, "evaluate_every": 4, "curve_every": 4, "lr": 1e-6},
        pruning={"allocation": "global", "rate": 0.3},
        arms=[{"name": "reinit"}, {"name": "random-mask-global"}],
    )


def test_a_collapsed_ladder_ends_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Replicate 1 begins with its output layer a million times smaller, and hardly learns: global pruning then
    # takes all of that layer at level 1.
    def shrunk(module: Any, rng: Any) -> Any:
        state = glorot(module, rng)
        if float(state["fc1.weight"][0, 0]) < 0:
            state["out.weight"] = state["out.weight"] * 1e-6
        return state

    monkeypatch.setattr(ARCHITECTURE, "glorot", shrunk)
    study = collapsing()
    for seed in range(20):  # a seed by which exactly one replicate is of the small kind
        run = run_tiny(tmp_path / str(seed), study.model_copy(update={"seed": seed}))
        ends = {
            r: [run.record(c).status for c in run.cells() if c.arm == "ticket" and c.replicate == r]
            for r in (0, 1)
        }
        if sorted(ends.values()) == [["ok", "collapsed"], ["ok", "ok", "ok"]]:
            break
    else:
        pytest.fail(f"no seed gave one collapsed and one whole ladder, the last {ends}")
    (fallen,) = (r for r in (0, 1) if len(ends[r]) == 2)
    ticket = Cell(fallen, 1, "ticket", 0)
    assert run.mask(ticket).count("out.weight") == 0
    assert not run.keeps_weights(ticket)
    assert run.record(Cell(fallen, 1, "reinit", 0)).status == "collapsed"
    assert run.has(Cell(fallen, 1, "random-mask-global", 0))
    assert not [cell for cell in run.cells() if cell.replicate == fallen and cell.level > 1]
    frame = results_of(run)
    keys = {"replicate": fallen, "level": 1, "arm": "ticket"}
    (row,) = (row for row in frame.to_dicts() if row.items() >= keys.items())
    assert row["status"] == "collapsed"
    assert row["density"] == 80 / 114
    assert [row[name] for name in ("early_stop_iteration", "final_test_accuracy", "iterations")] == [None] * 3
    before = times(run.path)
    again = run_tiny(run.path.parent, study.model_copy(update={"seed": seed}))
    assert times(again.path) == before
