"""The examples of docs/adding-parts.md: run as they stand, and as true as they are short."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.registries import put_back
from tombola.cli.app import main
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import MASK_ACTIONS
from tombola.lottery.cell import Cell
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.runs.folder import Run

TEXT = (Path(__file__).parents[1] / "docs" / "adding-parts.md").read_text()
EXAMPLES = dict(re.findall(r"## (.*?)\n.*?```python\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture(autouse=True)
def _registries_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_back(monkeypatch, ARMS, MASK_ACTIONS, CRITERIA)


def execute(title: str) -> dict[str, Any]:
    """What the example leaves behind."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLES[title], "docs/adding-parts.md", "exec"), names)
    return names


def catalogued(kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.argv", ["tombola", "catalog", kind, "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return capsys.readouterr().out


def test_there_is_an_example_of_each_part() -> None:
    assert set(EXAMPLES) == {"A criterion", "An arm", "A network of your own"}
    assert all(f"```python\n{block}```" in TEXT for block in EXAMPLES.values())


@pytest.mark.parametrize("title", ["A criterion", "An arm"])
def test_a_part_takes_fifteen_lines_its_use_included(title: str) -> None:
    assert len([line for line in EXAMPLES[title].splitlines() if line.strip()]) <= 15


def test_the_criterion(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute("A criterion")
    densities = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert densities == ["100.0%", "50.0%", "25.0%"]
    assert "relative-movement" in catalogued("criteria", capsys, monkeypatch)
    # Moved by 1, 1, 0.5 and 3, from 2, 0.5, 1 and -3: the scores are 0.5, 2, 0.5 and 1 times 1.
    initial = {"w": torch.tensor([[2.0, 0.5, 1.0, -3.0]])}
    final = {"w": torch.tensor([[3.0, 1.5, 0.5, 0.0]])}
    rule = PruneRule(criterion="relative-movement")
    mask = Pruner(rule, {"w": 0.5}, np.random.default_rng(0)).by_rate(
        Mask.dense({"w": (1, 4)}), initial, final
    )
    assert mask["w"].tolist() == [[False, True, False, True]]


def test_the_arm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run: Run = execute("An arm")["run"]
    assert capsys.readouterr().out.strip() == "['r0/L01/mirrored/0', 'r1/L01/mirrored/0']"
    ticket, mirrored = (run.mask(Cell(0, 1, arm, 0)) for arm in ("ticket", "mirrored"))
    assert mirrored != ticket
    assert all(torch.equal(mirrored[name].flip(1), ticket[name]) for name in ticket)
    assert "mirrored" in catalogued("arms", capsys, monkeypatch)
    assert "mirror" in catalogued("mask-actions", capsys, monkeypatch)


def test_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    run: Run = execute("A network of your own")["run"]
    assert capsys.readouterr().out.strip().endswith("modules")
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}
    assert set(run.mask(Cell(0, 1, "ticket", 0))) == {"first.weight", "block.weight", "out.weight"}
