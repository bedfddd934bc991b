"""Every command of the README and of Start runs: as it stands if it is quick, else by --dry-run."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from docs_build.study_file import EXAMPLE
from tombola.cli.app import main
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study as execute
from tombola.study.load import parse_study

ROOT = Path(__file__).parents[1]
README, START = ((ROOT / name).read_text() for name in ("README.md", "docs/start.md"))
BLOCKS = {
    name: re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    for name, text in {"README.md": README, "docs/start.md": START}.items()
}
COMMANDS = [
    line.strip()
    for blocks in BLOCKS.values()
    for kind, block in blocks
    if kind == "sh"
    for line in block.splitlines()
    if re.match(r"(TOMBOLA_DATA=\S+ )?tombola ", line.strip())
]
PYTHON = [(name, block) for name, blocks in BLOCKS.items() for kind, block in blocks if kind == "python"]
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


def test_there_are_commands() -> None:
    assert all("sh" in dict(blocks) and "python" in dict(blocks) for blocks in BLOCKS.values())
    assert len(COMMANDS) >= 20


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 120
    for page in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
        assert links
        assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.usefixtures("quick_pictures")
def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder, since later ones look at what earlier ones made."""
    monkeypatch.chdir(tmp_path)
    [study] = [block for kind, block in BLOCKS["docs/start.md"] if kind == "toml"]
    Path("mine.toml").write_text(study)
    data = os.environ.get("TOMBOLA_DATA")
    for command in dict.fromkeys(COMMANDS):
        if any(f" {name}" in f" {command} " for name in SLOW_STUDIES):
            if data is None or "cifar10" in command:
                continue
            command += " --dry-run"
        elif "tombola run quick" in command and "--dry-run" not in command:
            command += " --set iterations=30 --set levels=2"
        assert run(command, monkeypatch) == 0, command


def test_the_study_of_the_reference_runs(tmp_path: Path) -> None:
    small = ["recipe.iterations=20", "levels=1", "replicates=2"]
    study = parse_study(EXAMPLE, "example.toml", small)
    done = execute(study, RunOptions(tmp_path, threads=1))
    assert all(done.record(cell).status == "ok" for cell in done.cells())
    assert study.expect


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python(page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, page, "exec"), {"__name__": "readme"})
