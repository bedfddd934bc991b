"""Titles: what a study is called where nobody wrote a title, and that none survives what contradicts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.simulated import study_of
from tombola.study.load import load_study, load_sweep, presets
from tombola.study.title import title_of

WRITTEN = "LeNet-300-100 on MNIST, short"
PLAIN = "Tickets of lenet-300-100 on mnist"


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        ([], WRITTEN),
        (["replicates=8", "levels=3", "seed=4", "name=mine"], WRITTEN),
        (["data.name=mnist"], WRITTEN),  # as it was
        (["data.name=fashion-mnist"], "Tickets of lenet-300-100 on fashion-mnist"),
        (["name=mine", "data={name='kmnist'}"], "Tickets of lenet-300-100 on kmnist"),
        (["model.name=lenet-20-10"], "Tickets of lenet-20-10 on mnist"),
        (["model.options.dropout=0.5"], "Tickets of lenet-300-100 (dropout 0.5) on mnist"),
        (["recipe.iterations=500"], PLAIN),
        (["iterations=500", "levels=0"], "lenet-300-100 on mnist"),
        (["allocation=global", "rewind=100"], f"{PLAIN}, allocation global, rewound to iteration 100"),
        (["criterion=random", "mode=one-shot"], f"{PLAIN}, criterion random, mode one-shot"),
        (["data.name=fashion-mnist", "title=Mine"], "Mine"),
        (["title=Mine", "data.name=fashion-mnist"], "Mine"),
    ],
)
def test_a_written_title_holds_until_something_contradicts_it(settings: list[str], title: str) -> None:
    assert title_of(load_study("lenet-mnist-short", settings)) == title


def test_a_file_of_ones_own_is_no_different(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "Digits"\nmodel = {name = "lenet-8-6"}\ndata = {name = "digits"}\n')
    assert title_of(load_study(str(file))) == "Digits"
    assert title_of(load_study(str(file), ["data.name=npz:/far/away/own.npz"])) == (
        "Tickets of lenet-8-6 on npz:own.npz"
    )


def test_a_study_without_a_title_has_one() -> None:
    assert title_of(study_of()) == "Tickets of lenet-8-6 on digits"


def test_a_sweep_is_called_by_its_keys() -> None:
    assert load_sweep("criteria-digits").title == presets()["criteria-digits"], "written with the sweep"
    assert title_of(load_sweep("criteria-digits").members[1].study) == (
        "Tickets of lenet-300-100 on digits, criterion magnitude-increase"
    )
    sweep = load_sweep(
        "lenet-mnist-short", ["criterion=['random','large-final']", "model.name=['lenet-8','lenet-6']"]
    )
    assert sweep.title == "Tickets of several networks on mnist, by criterion and name"
    assert title_of(sweep.first) == "Tickets of lenet-8 on mnist, criterion random"
