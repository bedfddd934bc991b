"""A run that has lost a file: every command that reads it says so in the same sentence, and which folder to delete."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.program import Tombola

CELL = "cells/r0/L01/ticket/0"
COMMANDS = {
    "run": ("run", "tiny.toml"),
    "more levels": ("run", "tiny.toml", "--set", "levels=3"),
    "status": ("status", "{run}"),
    "results": ("results", "{run}"),
    "csv": ("results", "{run}", "--csv"),
    "report": ("report", "{run}"),
    "paper": ("report", "{run}", "--format", "md"),
    "figure": ("figure", "accuracy-final", "{run}"),
    "verdicts": ("verdicts", "{run}"),
    "diff": ("diff", "{run}", "{run}"),
    "compare": ("compare", "{run}"),
    "connect": ("connect", "{run}"),
    "predict": ("predict", "{run}", "--level", "1"),
    "seeding": ("seeding", "{run}", "--level", "1"),
    "show": ("ticket", "show", f"{{run}}/{CELL}"),
    "export": ("ticket", "export", f"{{run}}/{CELL}", "--out", "x.pt"),
    "evaluate": ("evaluate", f"{{run}}/{CELL}", "--data", "digits"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_cell_without_its_mask(tombola: Tombola, done: Path, command: str) -> None:
    (done / CELL / "mask.safetensors").unlink()
    said = tombola(*(word.format(run=done) for word in COMMANDS[command]))
    assert said.code == 2
    cell = (Path("runs") / done.name if COMMANDS[command][0] == "run" else done) / CELL
    assert said.err == (
        f"tombola: {cell}/mask.safetensors: is missing; delete {cell} and run the study again, which trains this cell "
        "anew\n"
    )
    if command == "run":
        shutil.rmtree(cell)
        assert tombola("run", "tiny.toml").code == 0
        assert tombola("ticket", "show", done / CELL).code == 0


def test_a_broken_run_is_listed_beside_the_others(tombola: Tombola, done: Path) -> None:
    shutil.copytree(done, done.parent / "whole")
    (done / CELL / "end.safetensors").write_bytes(b"")
    rows = {row["run"]: row for row in json.loads(tombola("runs", "--json").out)}
    assert rows["whole"]["state"] == "finished"
    assert rows[done.name]["state"] == "broken"
    assert "end.safetensors: is cut short, or another kind of file; delete" in rows[done.name]["title"]
    said = tombola("runs")
    assert said.code == 0
    assert "broken" in said.out
    assert "whole" in said.out
