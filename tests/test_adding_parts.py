"""The examples of docs/adding-parts.md: run as they stand, and as true as they are short."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.registries import put_back
from tombola.alignment.words import RAW
from tombola.analysis.verdicts.share import ALIGNMENT
from tombola.cli.app import main
from tombola.comparison.measures.base import MEASURES
from tombola.data.catalog import load
from tombola.data.dataset import DATASETS
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import MASK_ACTIONS
from tombola.lottery.cell import Cell
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.models.architecture import architecture
from tombola.models.catalog import MODELS
from tombola.report.figures.base import FIGURES
from tombola.runs.folder import Run
from tombola.transfer.route import ROUTES

TEXT = (Path(__file__).parents[1] / "docs" / "adding-parts.md").read_text()
EXAMPLES = dict(re.findall(r"## (.*?)\n.*?```python\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture(autouse=True)
def _registries_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_back(monkeypatch, ARMS, MASK_ACTIONS, CRITERIA, MODELS, DATASETS, MEASURES, FIGURES, ROUTES)


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


PARTS = ["A criterion", "An arm", "A route", "A model", "A data set", "A measure", "A figure"]


def test_there_is_an_example_of_each_part() -> None:
    assert [*EXAMPLES] == [*PARTS, "A network of your own"]
    assert all(f"```python\n{block}```" in TEXT for block in EXAMPLES.values())


@pytest.mark.parametrize("title", PARTS)
def test_a_part_takes_fifteen_lines_its_use_included(title: str) -> None:
    assert len([line for line in EXAMPLES[title].splitlines() if line.strip()]) <= 15


def test_the_criterion(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute("A criterion")
    densities, accuracies = zip(*map(str.split, capsys.readouterr().out.splitlines()), strict=True)
    assert densities == ("100.0%", "50.0%", "25.0%")
    assert all(10 < float(each.removesuffix("%")) <= 100 for each in accuracies), "in percent, above chance"
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


def test_the_route(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run: Run = execute("A route")["run"]
    arms = ("other-signs", "other-signs-as-it-is")
    assert capsys.readouterr().out.strip() == str([f"r{r}/L01/{arm}/0" for r in (0, 1) for arm in arms])
    own, turned, same = (run.start(Cell(0, 1, arm, 0)) for arm in ("ticket", *arms))
    assert all(torch.equal(turned[name], -own[name]) and torch.equal(same[name], own[name]) for name in own)
    assert run.mask(Cell(0, 1, "other-signs", 0)) == run.mask(Cell(0, 1, "ticket", 0))
    assert "turned" in catalogued("routes", capsys, monkeypatch)


def test_the_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute("A model")
    # Weights of 1 to 16 and 16 to 12 channels, 3x3 each, and of 12 to 10 units; a fifth of each goes: 28.8, 345.6
    # and 24.
    dense = {"0.weight": 144, "2.weight": 1728, "6.weight": 120}
    assert capsys.readouterr().out.splitlines() == [
        str(dense),
        str({"0.weight": 115, "2.weight": 1382, "6.weight": 96}),
    ]
    assert "pooled-W" in catalogued("models", capsys, monkeypatch)
    with pytest.raises(UserError, match=r"unknown model 'poold-9'.*did you mean 'pooled-8'"):
        architecture("poold-9", (1, 8, 8), 10)


def test_the_data_set(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute("A data set")
    densities, accuracies = zip(*map(str.split, capsys.readouterr().out.splitlines()), strict=True)
    assert densities == ("100.0%", "80.0%")
    assert all(float(each.removesuffix("%")) > 80 for each in accuracies)
    data = load("stripes")
    assert (data.shape, data.classes, len(data.train_y), len(data.test_y)) == ((1, 8, 8), 2, 400, 100)
    # Over a stripe and beside it: rows differ in the images of label 0, columns in those of label 1.
    for label, axis in ((0, 1), (1, 0)):
        mean = data.train_x[data.train_y == label].mean(0)[0].mean(axis)
        assert (mean[1::2] - mean[::2]).min() > 0.7
    assert "stripes" in catalogued("data", capsys, monkeypatch)


def test_the_measure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    left = execute("A measure")
    one, other = (left["run"].mask(Cell(replicate, 1, "ticket", 0)) for replicate in (0, 1))
    shares = [float((~one[name] & ~other[name]).double().mean()) for name in one]
    rows = left["pairs"].filter(layer="all").select("aligned", "value", "expected").rows()
    assert [aligned for aligned, *_ in rows] == [RAW, ALIGNMENT]
    _, value, expected = rows[0]
    assert value == pytest.approx(sum(shares) / len(shares))
    # By chance the product of both shares, in a layer: up to the 20 nulls that were drawn.
    chance = [(1 - one.density(name)) * (1 - other.density(name)) for name in one]
    assert expected == pytest.approx(sum(chance) / len(chance), abs=0.02)
    assert "expected" in capsys.readouterr().out
    assert "dead-in-both" in catalogued("measures", capsys, monkeypatch)


def test_the_figure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute("A figure")
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert "Spread of networks" in page
    assert "Test accuracy of each network after its last iteration." in page
    assert "spread" in catalogued("figures", capsys, monkeypatch)


def test_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    run: Run = execute("A network of your own")["run"]
    assert capsys.readouterr().out.strip().endswith("modules")
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}
    assert set(run.mask(Cell(0, 1, "ticket", 0))) == {"first.weight", "block.weight", "out.weight"}
