"""run, status, results, report and runs on a sweep, and several runs on one page."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from support.program import TINY, Tombola
from tombola.cli.app import main

SWEEP = TINY.replace('[[arms]]\nname = "random-mask"\n', "") + (
    '[sweep]\n"pruning.criterion" = ["large-final", "random"]\n'
)
LABELS = ["criterion large-final", "criterion random"]
CELLS = 2 * (1 + 2 * 2)  # replicates x (dense, then ticket + reinit at two levels)


@pytest.fixture(autouse=True)
def no_pictures_beside_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a second each, and have tests of their own."""
    monkeypatch.setattr("tombola.report.page.page.save", lambda *_: None)


@pytest.fixture(scope="session")
def _swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swept")
    (place / "tiny.toml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("tombola.report.page.page.save", lambda *_: None)
        patch.setattr(sys, "argv", ["tombola", "run", "tiny.toml"])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return place


@pytest.fixture
def swept(tombola: Tombola, tmp_path: Path, _swept: Path) -> Path:
    """The folder of the tiny sweep, finished, in the folder that commands are called in."""
    shutil.copytree(_swept / "runs", tmp_path / "runs")
    shutil.copy(_swept / "tiny.toml", tmp_path)
    [file] = (tmp_path / "runs").glob("*/sweep.toml")
    return file.parent


def test_run_again_says_each_member_and_the_report(tombola: Tombola, swept: Path) -> None:
    said = tombola("run", "tiny.toml")
    assert said.code == 0
    for number, label in enumerate(LABELS, 1):
        assert f"{number} of 2: {label}" in said.err
        assert label in said.out
    assert said.err.count("100% of this study is there already") == 2
    assert "criterion random against criterion large-final, ticket at 64.0%" in said.out
    assert Path(said.out.rstrip().rpartition(" ")[2]).is_file()
    assert f"sweep   runs/{swept.name}" in said.out


def test_dry_run_counts_what_is_shared_once(tombola: Tombola, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SWEEP)
    facts = json.loads(tombola("run", "tiny.toml", "--dry-run", "--json").out)
    assert facts["keys"] == ["pruning.criterion"]
    assert [member["values"] for member in facts["members"]] == [
        {"pruning.criterion": "large-final"},
        {"pruning.criterion": "random"},
    ]
    assert (facts["trainings"], facts["trainings_shared"], facts["trainings_done"]) == (2 * CELLS, 2, 0)
    assert facts["iterations"] == (2 * CELLS - 2) * 40
    assert 0 < facts["estimated_seconds_low"] <= facts["estimated_seconds"] <= facts["estimated_seconds_high"]
    low = sum(member["estimated_seconds_low"] for member in facts["members"])
    assert facts["estimated_seconds_low"] == pytest.approx(low)
    said = tombola("run", "tiny.toml", "--dry-run").out
    assert f"2 studies, {2 * CELLS - 2} trainings" in said
    assert all(label in said for label in LABELS)
    assert not (tmp_path / "runs").exists()


def test_dry_run_counts_what_is_done(tombola: Tombola, swept: Path) -> None:
    facts = json.loads(tombola("run", "tiny.toml", "--dry-run", "--json").out)
    assert facts["trainings_done"] == 2 * CELLS
    assert facts["sweep"] == f"runs/{swept.name}"


def test_a_setting_with_a_list_makes_a_sweep(tombola: Tombola, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    said = tombola(
        "run", "tiny.toml", "--dry-run", "--json", "--set", "rate=[0.2,0.3]", "--set", "seed=[1,2]"
    )
    assert [list(member["values"].values()) for member in json.loads(said.out)["members"]] == [
        [0.2, 1], [0.2, 2], [0.3, 1], [0.3, 2],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("criterion=[]", "empty list"),
        ('criterion=["randm"]', "did you mean 'random'"),
    ],
)
def test_a_wrong_sweep_is_one_sentence(tombola: Tombola, tmp_path: Path, setting: str, words: str) -> None:
    (tmp_path / "tiny.toml").write_text(SWEEP)
    said = tombola("run", "tiny.toml", "--set", setting)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_results_of_all_members_with_their_values(tombola: Tombola, swept: Path) -> None:
    rows = json.loads(tombola("results", "tiny", "--json").out)
    assert len(rows) == 2 * CELLS
    assert [row["pruning.criterion"] for row in rows] == ["large-final"] * CELLS + ["random"] * CELLS
    table = list(csv.DictReader(io.StringIO(tombola("results", swept, "--csv").out)))
    assert [row["run"] for row in table] == [row["run"] for row in rows]
    assert list(table[0])[:3] == ["run", "pruning.criterion", "replicate"]
    said = tombola("results", "tiny").out
    assert all(label in said for label in LABELS)


def test_status_and_runs(tombola: Tombola, swept: Path) -> None:
    facts = json.loads(tombola("status", "tiny", "--json").out)
    assert (facts["run"], facts["state"]) == (swept.name, "finished")
    assert (facts["done"], facts["planned"]) == (2 * CELLS, 2 * CELLS)
    assert [member["values"]["pruning.criterion"] for member in facts["members"]] == ["large-final", "random"]
    rows = json.loads(tombola("runs", "--json").out)
    assert [row["done"] for row in rows] == [2 * CELLS, CELLS, CELLS]
    first = facts["members"][0]["run"]
    shutil.rmtree(swept.parent / first / "cells/r1/L02")
    assert tombola("status", "tiny").out.count("unfinished") == 2  # the sweep, and one member
    shutil.rmtree(swept.parent / first)
    assert "broken" in tombola("runs").out
    assert tombola("status", swept).code == 2


def test_report_of_a_sweep_has_every_member(tombola: Tombola, swept: Path) -> None:
    said = tombola("report", "tiny")
    assert said.out.strip() == f"runs/{swept.name}/report/index.html"
    page = Path(said.out.strip()).read_text()
    assert all(label in page for label in LABELS)


def test_two_runs_on_one_page(tombola: Tombola, swept: Path) -> None:
    first, second = [m["run"] for m in json.loads(tombola("status", "tiny", "--json").out)["members"]]
    said = tombola("report", first, second)
    assert said.out.strip() == f"runs/{first}/report/with-{second}/index.html"
    page = Path(said.out.strip()).read_text()
    assert "criterion large-final · reinit" in page
    assert first in page
    assert "pruning.criterion" in page
    assert tombola("report", first, "--compare", second).out == said.out
    assert tombola("report", first, first).out.strip() == f"runs/{first}/report/index.html"


def test_what_takes_one_run_names_the_members(tombola: Tombola, swept: Path) -> None:
    said = tombola("diff", "tiny", "tiny")
    assert said.code == 2
    assert "name one of them" in said.err
