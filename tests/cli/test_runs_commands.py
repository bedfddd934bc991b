"""run, runs, status, results, report, diff."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from support.program import Tombola

# DESIGN section 4: other tools rely on these.
RESULT_KEYS = {
    "replicate",
    "level",
    "arm",
    "draw",
    "density",
    "early_stop_iteration",
    "early_stop_val_loss",
    "early_stop_test_accuracy",
    "final_test_accuracy",
    "final_train_accuracy",
    "iterations",
    "seconds",
}
CELLS = 2 * (1 + 2 * 3)  # replicates x (dense, then ticket + reinit + random-mask at two levels)


def test_run_prints_table_claims_and_report(tombola: Tombola, study_file: Path) -> None:
    said = tombola("run", study_file)
    assert said.code == 0
    for part in ("ticket", "reinit", "random-mask", "79.98%", "against dense", "against reinit", "report"):
        assert part in said.out
    page = Path(said.out.rstrip().rpartition(" ")[2])
    assert page.name == "index.html"
    assert page.is_file()
    assert "level 2: " in said.err  # plain lines where there is no terminal


def test_run_again_trains_nothing(tombola: Tombola, study_file: Path, done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("cell.json")}
    said = tombola("run", study_file)
    assert said.code == 0
    assert {path: path.stat().st_mtime_ns for path in done.rglob("cell.json")} == before
    assert "100% of this study is there already" in said.err


def test_extension_by_set(tombola: Tombola, study_file: Path, done: Path) -> None:
    assert tombola("run", study_file, "--set", "levels=3").code == 0
    assert (done / "cells/r1/L03/random-mask/0/cell.json").is_file()
    assert len(list(done.parent.iterdir())) == 1


def test_fewer_replicates_than_are_there_is_said(tombola: Tombola, study_file: Path, done: Path) -> None:
    said = tombola("run", str(study_file), "--set", "replicates=1")
    assert said.code == 0
    assert "2 replicates are there already, and all of them count; 1 were asked for" in said.err
    assert "asked for" not in tombola("run", str(study_file)).err


def test_results_json_is_one_object_a_cell(tombola: Tombola, done: Path) -> None:
    rows = json.loads(tombola("results", done, "--json").out)
    assert len(rows) == CELLS
    assert all(row.keys() >= RESULT_KEYS for row in rows)
    dense = [row for row in rows if row["level"] == 0]
    assert {row["arm"] for row in dense} == {"ticket"}
    assert all(row["density"] == 1.0 for row in dense)


def test_results_csv_has_the_same_rows(tombola: Tombola, done: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(tombola("results", done.name[:6], "--csv").out)))
    assert len(rows) == CELLS
    assert set(rows[0]) >= RESULT_KEYS


def test_runs_and_status(tombola: Tombola, done: Path) -> None:
    [row] = json.loads(tombola("runs", "--json").out)
    assert (row["run"], row["state"], row["done"], row["planned"]) == (done.name, "finished", CELLS, CELLS)
    status = json.loads(tombola("status", "tiny", "--json").out)
    assert status["arms"]["reinit"] == {"planned": 4, "done": 4, "failed": 0}
    assert "finished" in tombola("runs").out
    assert f"{CELLS} of {CELLS}" in tombola("status", done).out


def test_diff_names_what_differs(tombola: Tombola, study_file: Path, done: Path) -> None:
    assert tombola("run", study_file, "--set", "recipe.lr=0.01", "--set", "name=other").code == 0
    found = json.loads(tombola("diff", "tiny", "other", "--json").out)
    assert found["spec"] == {"name": ["tiny", "other"], "recipe.lr": [0.0012, 0.01]}
    assert {(row["arm"], row["level"]) for row in found["results"]} >= {("ticket", 0), ("reinit", 2)}
    assert all(
        row["density"] == row["density_b"] and row["n_a"] == row["n_b"] == 2 for row in found["results"]
    )
    words = tombola("diff", "tiny", "other").out
    assert "recipe.lr" in words
    assert "A / B" not in words
    same = tombola("diff", "tiny", "tiny").out
    assert "equal specs" in same
    assert "In 14 of 14 trainings the early stop is the last evaluation" in same
    assert "†" not in same, "the table has no marks"


def test_a_run_is_no_study_and_its_study_goes_on_with_it(tombola: Tombola, done: Path) -> None:
    said = tombola("run", done)
    assert said.code == 2
    found = re.search(r"is a run, and not a study file; `tombola (run .*)` goes on with it", said.err)
    assert found
    shutil.rmtree(done / "cells/r1/L02")
    assert tombola(*found[1].split()).code == 0
    assert json.loads(tombola("status", "tiny", "--json").out)["done"] == CELLS


def test_dry_run_says_what_and_writes_nothing(tombola: Tombola, study_file: Path, tmp_path: Path) -> None:
    facts = json.loads(tombola("run", study_file, "--dry-run", "--json").out)
    # 64*12 + 12*8 + 8*10 = 944 weights; 20% of 768, 96 and 80 round to 154, 19 and 16.
    assert (facts["prunable_weights"], facts["parameters"]) == (944, 944 + 12 + 8 + 10)
    assert facts["not_prunable"] == {"fc1.bias": 12, "out.bias": 10, "fc2.bias": 8}
    assert facts["densities"][:2] == [1.0, (944 - 154 - 19 - 16) / 944]
    assert facts["trainings"] == CELLS
    assert facts["iterations"] == CELLS * 40
    assert 0 < facts["estimated_seconds_low"] <= facts["estimated_seconds"] <= facts["estimated_seconds_high"]
    assert facts["estimated_bytes"] > 0
    said = tombola("run", study_file, "--dry-run").out
    assert "755" in said
    assert re.search(
        r"about \d+ s( to \d+ s)? here for all of it, from short probes; [\d.]+ MB on disk", said
    )
    assert "944 of 974 parameters are prunable" in said
    assert "not prunable: fc1.bias (12), out.bias (10) and fc2.bias (8)" in said
    assert not (tmp_path / "runs").exists()


def test_report_of_an_unfinished_run(tombola: Tombola, done: Path) -> None:
    shutil.rmtree(done / "cells/r1/L02")
    said = tombola("report", "tiny")
    assert said.code == 0
    assert Path(said.out.strip()).is_file()
    assert tombola("status", "tiny").out.count("unfinished") == 1


def test_stopped_by_hand_says_that_the_same_command_goes_on(
    tombola: Tombola, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tombola.cli.show.watcher.Watcher.landed", stop)
    said = tombola("run", study_file)
    assert said.code == 130
    assert "stopped; the same command goes on from here" in said.err
    assert "Traceback" not in said.err
    monkeypatch.undo()


def test_results_mark_early_stops_at_the_end(tombola: Tombola, done: Path) -> None:
    """Forty iterations are too few for any network of the tiny study."""
    said = tombola("results", "tiny").out
    assert "40 †2/2" in said
    assert "In 14 of 14 trainings (†k/n: in k of n) the early stop is the last evaluation" in said
    assert all(
        row["early_stop_at_end"] is True for row in json.loads(tombola("results", "tiny", "--json").out)
    )


def test_results_tell_what_tickets_cost(tombola: Tombola, done: Path) -> None:
    """The random mask takes nothing but its own training, which is as long as any."""
    said = tombola("results", done.name, "--cost")
    assert said.code == 0
    for part in ("random-mask", "operations", "Whole cost of a ticket", "not below by 1% or more"):
        assert part in said.out
    found = json.loads(tombola("results", done.name, "--cost", "--margin", "0.5", "--json").out)
    assert len(found["cells"]) == CELLS
    rows = {(row["arm"], row["level"]): row for row in found["savings"]}
    assert rows["ticket", 2]["means"]["iterations"] == 3 * rows["random-mask", 2]["means"]["iterations"]
    assert {row["margin"] for row in found["savings"]} == {0.5}
    table = list(csv.DictReader(io.StringIO(tombola("results", done.name, "--cost", "--csv").out)))
    assert len(table) == CELLS
    assert {row["way"] for row in table} == {"ticket", "beside", "without"}
    refused = tombola("results", done.name, "--margin", "0.1")
    assert refused.code == 2
    assert "--margin goes with --cost" in refused.err


def test_results_hold_tickets_against_the_dense_network_where_asked(tombola: Tombola, done: Path) -> None:
    said = tombola("results", done.name, "--cost", "--against", "dense")
    assert said.code == 0
    assert "less that of the dense network" in " ".join(said.out.split())
    found = json.loads(tombola("results", done.name, "--cost", "--against", "dense", "--json").out)
    assert {row["against"] for row in found["savings"]} == {"dense"}
    for wrong, sentence in (
        (["--cost", "--against", "me"], "ticket or dense"),
        (["--against", "dense"], "--cost"),
    ):
        refused = tombola("results", done.name, *wrong)
        assert refused.code == 2
        assert sentence in refused.err


@pytest.mark.usefixtures("done")
def test_diff_says_densities_and_replicates_of_both(tombola: Tombola, study_file: Path) -> None:
    changes = ("pruning.rate=0.5", "replicates=1", "name=other")
    assert tombola("run", study_file, *(part for each in changes for part in ("--set", each))).code == 0
    said = tombola("diff", "tiny", "other").out
    assert "means over n replicates" in said
    assert "where A and B differ, A / B" in said
    [level] = [line.split() for line in said.splitlines() if line.split()[:2] == ["reinit", "2"]]
    assert level[3] == level[6] == "/"
    assert level[2] != level[4]
    assert (level[5], level[7]) == ("2", "1")


@pytest.mark.usefixtures("done")
def test_a_dry_run_says_how_many_replicates_are_there(tombola: Tombola, study_file: Path) -> None:
    said = tombola("run", study_file, "--set", "replicates=1", "--dry-run")
    assert "2 replicates are there already, and all of them count; 1 were asked for" in said.err


@pytest.mark.parametrize("words", [(), ("--format", "md")])
def test_there_is_no_report_of_a_run_without_a_cell(
    tombola: Tombola, done: Path, words: tuple[str, ...]
) -> None:
    shutil.rmtree(done / "cells")
    shutil.rmtree(done / "report", ignore_errors=True)
    said = tombola("report", "tiny", *words)
    assert said.code == 2
    assert "no cell is trained yet, so that there is nothing to report" in said.err
    assert not (done / "report").exists()


@pytest.mark.usefixtures("done")
def test_a_dry_run_of_what_is_trained_probes_nothing(
    tombola: Tombola, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tombola.cli.show.dry_run.estimate_time", None)
    assert "nothing is left to train; " in tombola("run", study_file, "--dry-run").out
