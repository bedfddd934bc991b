"""Every command in the README runs: as it stands if it is quick, else by --dry-run (whole in `make check`)."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from support.registries import put_back
from tombola.cli.app import main
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import WEIGHT_ACTIONS
from tombola.masks.criteria import CRITERIA
from tombola.models.catalog import MODELS
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study as execute
from tombola.study.load import parse_study

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.strip()
    for kind, block in BLOCKS
    if kind == "sh"
    for line in block.splitlines()
    if re.match(r"(TOMBOLA_DATA=\S+ )?tombola ", line.strip())
]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]
STUDIES = [block for kind, block in BLOCKS if kind == "toml"]
SLOW_STUDIES = ("lenet-mnist", "lenet-mnist-short", "conv2-cifar10", "conv4-cifar10", "conv6-cifar10")


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    words = shlex.split(re.sub(r"^TOMBOLA_DATA=\S+ ", "", command), comments=True)
    words = [found for word in words for found in (glob.glob(word) if "runs/" in word else [word])]
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 8
    assert PYTHON


@pytest.mark.usefixtures("quick_pictures")
def test_readme_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder, since later ones look at what earlier ones made."""
    monkeypatch.chdir(tmp_path)
    data = os.environ.get("TOMBOLA_DATA")
    for command in COMMANDS:
        if "data fetch" in command:
            continue  # the one command that uses the network
        if any(f" {name}" in f" {command} " for name in SLOW_STUDIES):
            if data is None or "cifar10" in command:
                continue
            command += " --dry-run"
        elif "tombola run quick" in command and "--dry-run" not in command:
            command += " --set iterations=30 --set levels=2"
        assert run(command, monkeypatch) == 0, command


@pytest.mark.parametrize("block", STUDIES, ids=lambda block: block.splitlines()[0])
def test_readme_studies_run(block: str, tmp_path: Path) -> None:
    small = ["recipe.iterations=20", "levels=1", "replicates=2"]
    study = parse_study(block, "README.md", small)
    done = execute(study, RunOptions(tmp_path, threads=1))
    assert all(done.record(cell).status == "ok" for cell in done.cells())
    assert study.expect


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.strip().splitlines()[0][:40])
def test_readme_python(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_back(monkeypatch, ARMS, WEIGHT_ACTIONS, CRITERIA, MODELS)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
