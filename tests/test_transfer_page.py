"""The commands of docs/transfer.md: run as they stand, in their order."""

from __future__ import annotations

import glob
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from tombola.cli.app import main
from tombola.lottery.ticket import Ticket
from tombola.study.load import parse_study
from tombola.transfer.route import ROUTES, options_of

TEXT = (Path(__file__).parents[1] / "docs" / "transfer.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


def called(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    words = [
        found
        for word in shlex.split(command)
        for found in (sorted(glob.glob(word)) if "*" in word else [word])
    ]
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_every_route_is_there_with_all_its_options() -> None:
    for kind in ROUTES:
        assert f"\ntombola transfer {kind} " in TEXT
        assert all(f"`{option}`" in TEXT for option in options_of(kind))


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for study in (block for kind, block in BLOCKS if kind == "toml"):
        name = parse_study(study, "docs/transfer.md").name
        Path(f"{name}.toml").write_text(study)
    for command in COMMANDS:
        assert called(command, monkeypatch) == 0, f"{command}: {capsys.readouterr().err}"
    files = {path.stem: Ticket.load(path) for path in Path().glob("*.safetensors")}
    assert len(files) == sum(line.startswith("tombola transfer") for line in COMMANDS)
    assert all(ticket.start is not None for ticket in files.values())
    source = next(path for path in Path("runs").glob("home-*/cells/r0/L03/ticket/0"))
    assert called(f"tombola ticket export {source} --out home.pt", monkeypatch) == 0
    home = torch.load("home.pt", weights_only=True)
    back = files["back"].start
    assert back is not None
    assert all(torch.equal(back[name], home[name]) for name in home), "stretched and squeezed back"
    assert files["both"].mask <= files["any"].mask
    [block] = [block for kind, block in BLOCKS if kind == "python"]
    capsys.readouterr()
    names: dict[str, object] = {}
    exec(compile(block, "docs/transfer.md", "exec"), names)
    assert "'dense': 3392" in capsys.readouterr().out  # 64 x 32 + 32 x 32 + 32 x 10
    assert files["plus"].mask.count() > files["refilled"].mask.count()
