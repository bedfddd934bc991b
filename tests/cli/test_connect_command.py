"""connect: what is printed and kept, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import tombola as library
from support.program import Tombola
from tombola.report.collect import tables_of
from tombola.report.figures.base import FIGURES
from tombola.runs.folder import Run

QUICK = ("--level", "1", "--alphas", "3")


def test_a_table_is_printed_and_kept(tombola: Tombola, done: Path) -> None:
    said = tombola("connect", "tiny", *QUICK, "--arms", "ticket,random-mask")
    assert said.code == 0
    for part in ("instability", "levels", "dense", "random-mask", "80.0%", "below 2 points"):
        assert part in said.out
    assert "±" not in said.out, "two replicates have no interval"
    assert said.out.endswith("\n`tombola report tiny` draws them on the run's page\n")
    assert (done / "connect.parquet").is_file()
    assert (done / "paths.parquet").is_file()
    assert "2 networks trained (random-mask)" in said.err
    again = tombola("connect", "tiny", *QUICK, "--arms", "ticket,random-mask")
    assert again.out == said.out
    assert "100% of this study is there already" in again.err


def test_json_and_csv_and_python(tombola: Tombola, done: Path) -> None:
    said = tombola("connect", "tiny", *QUICK, "--kinds", "levels", "--json")
    found = json.loads(said.out)
    assert {row["kind"] for row in found["pairs"]} == {"levels"}
    assert {row["value"] for row in found["estimates"]} >= {"barrier_error", "barrier_loss", "l2", "angle"}
    rows = list(
        csv.DictReader(io.StringIO(tombola("connect", "tiny", *QUICK, "--kinds", "levels", "--csv").out))
    )
    assert len(rows) == len(found["pairs"]) == 4  # two replicates, two splits
    assert float(rows[0]["l2"]) == pytest.approx(found["pairs"][0]["l2"])
    table = library.connect(done, levels=[1], kinds=["levels"], alphas=3).pairs
    assert table.to_dicts() == found["pairs"]


def test_the_report_shows_it(tombola: Tombola, done: Path) -> None:
    with pytest.raises(library.UserError, match="tombola connect"):
        FIGURES["instability"](tables_of(Run(done)))
    assert tombola("connect", "tiny", "--alphas", "3").code == 0
    tables = tables_of(Run(done))
    assert "ticket" in FIGURES["instability"](tables).to_dict()["description"]
    assert "from dense" in FIGURES["connectivity"](tables).to_dict()["description"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--kinds", "levls"), "did you mean 'levels'"),
        (("--level", "9"), "no cell is done at level 9"),
        (("--arms", "tickt"), "did you mean 'ticket'"),
        (("--copies", "1"), "copies"),
        (("--alphas", "2"), "alphas"),
        (("--device", "abacus"), "unknown device 'abacus'"),
        (("--json", "--csv"), "exclude each other"),
        (("--data-dir", "nowhere", "--kinds", ","), "no pair of kind"),
    ],
)
def test_refused(tombola: Tombola, done: Path, options: tuple[str, ...], sentence: str) -> None:
    said = tombola("connect", "tiny", *options)
    assert said.code == 2
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert not (done / "connect").exists()


def test_no_such_run(tombola: Tombola) -> None:
    assert tombola("connect", "nothing").code == 2
