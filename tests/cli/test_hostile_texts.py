"""Texts that a terminal, a spreadsheet or a browser would obey: they are shown, or refused."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest
from rich.table import Table

from support.program import TINY, Tombola
from tombola.cli.show.tables import Careful
from tombola.errors import UserError
from tombola.runs.sweeps import SweepRun

ESCAPE = '"\\u001b]0;mine\\u0007 \\u001b[2J <img src=x> \\u202e"'
SHOWN = "\\x1b]0;mine\\x07 \\x1b[2J <img src=x> \\u202e"
HOSTILE = (
    TINY.replace('"A tiny study"', ESCAPE)
    + f"""
[[hypothesis]]
name = "h1"
claim = {ESCAPE}
arms = ["ticket", "reinit"]
quantity = "early_stop_test_accuracy"
direction = "greater"
[[expect]]
quantity = "early_stop_test_accuracy"
value = 0.9
tolerance = 0.1
source = {ESCAPE}
"""
)


def test_escapes_in_titles_claims_and_sources_are_shown(tombola: Tombola, done: Path) -> None:
    (done / "study.toml").write_text(HOSTILE)
    said = [tombola("runs"), *(tombola(name, str(done)) for name in ("status", "results", "verdicts"))]
    assert not any(each.code for each in said)
    for each in said:
        assert not set(each.out + each.err) & {"\x1b", "\x07", "\u202e"}
    runs, _, results, verdicts = (each.out for each in said)
    assert "\\x1b]0;mine\\x07 \\x1b[2J" in runs
    assert SHOWN in results
    assert SHOWN in verdicts


def test_escapes_in_what_was_typed_and_in_sentences_are_shown(tombola: Tombola) -> None:
    said = tombola("run", "quick", "--set", "model.name=lenet\x1b[2J-\udcff")
    assert said.code == 2
    assert "unknown model" in said.err
    assert "\\x1b[2J" in said.err
    assert "\x1b" not in said.err


def test_a_console_draws_and_shows_what_it_is_given() -> None:
    drawn = io.StringIO()
    table = Table("name")
    table.add_row("\x1b[31mred")
    Careful(file=drawn, force_terminal=True, width=60).print(table, style="bold")
    assert "\\x1b[31mred" in drawn.getvalue()
    assert "\x1b[1m" in drawn.getvalue()  # its own style
    assert "\x1b[31m" not in drawn.getvalue()


def test_swept_texts_reach_no_spreadsheet_as_formulas(tombola: Tombola, done: Path) -> None:
    write_sweep(done, done.name, "=HYPERLINK(1)")
    said = tombola("results", str(done.parent / "sweep-00000000"), "--csv")
    assert said.code == 0
    assert {row["model.name"] for row in csv.DictReader(io.StringIO(said.out))} == {"'=HYPERLINK(1)"}


def write_sweep(done: Path, run: str, value: str = "lenet") -> Path:
    """A sweep beside the run, of one member."""
    folder = done.parent / "sweep-00000000"
    folder.mkdir()
    (folder / "sweep.toml").write_text(
        f'title = "t"\n[[members]]\nrun = "{run}"\n[members.values]\n"model.name" = "{value}"\n'
    )
    return folder


@pytest.mark.parametrize("name", ["../elsewhere/{}", "/{}", "..", ".", "", "x/../{}"])
def test_a_sweep_names_no_run_but_those_beside_it(done: Path, name: str) -> None:
    shutil.copytree(done, done.parent.parent / "elsewhere" / done.name)
    with pytest.raises(UserError, match="expected the name of a folder beside it"):
        SweepRun.open(write_sweep(done, name.format(done.name)))
