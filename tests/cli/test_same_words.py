"""--out, --runs, --level, lists of names and the order of arguments mean the same in all commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from support.program import TINY, Tombola

READERS = (
    "status",
    "results",
    "report",
    "diff",
    "watch",
    "verdicts",
    "figure",
    "compare",
    "connect",
    "predict",
)


def helped(tombola: Tombola, *command: str) -> str:
    return re.sub(r"\s+", " ", tombola(*command, "--help").out)


@pytest.mark.parametrize("command", [*READERS, "runs"])
def test_runs_is_the_folder_wherever_runs_are_read(tombola: Tombola, command: str) -> None:
    said = helped(tombola, command)
    assert "--runs <path> Folder that holds the run folders." in said
    assert ("--out" in said) == (command in ("figure", "report", "compare"))  # what it writes


@pytest.mark.parametrize("command", ["train", "ticket export", "ticket apply", "figure", "transfer"])
def test_out_is_what_is_written(tombola: Tombola, command: str) -> None:
    assert "--out <path> The file to write" in helped(tombola, *command.split())


def test_the_scheme_is_said_once(tombola: Tombola) -> None:
    assert "RUN comes first" in helped(tombola)
    for command in READERS:
        usage = tombola(command, "--help").out.partition("\n")[0].replace("...", "")
        assert re.search(r"\[OPTIONS\] [{\[]RUN", usage), usage


@pytest.mark.parametrize("spelling", ["--runs", "--out"])
def test_both_spellings_name_the_folder(tombola: Tombola, done: Path, spelling: str) -> None:
    done.parent.rename("elsewhere")
    assert tombola("status", "tiny", spelling, "elsewhere").code == 0
    assert "tiny" in tombola("runs", f"{spelling}=elsewhere").out
    (Path.cwd() / "tiny.toml").write_text(TINY)
    planned = tombola("run", "tiny.toml", spelling, "elsewhere", "--dry-run", "--json")
    assert json.loads(planned.out)["trainings_done"] == 14  # found where they were moved to


def test_levels_and_names_with_commas_or_one_by_one(tombola: Tombola, done: Path) -> None:
    common = ("--n-null", "1", "--json")
    rows = [
        json.loads(tombola("compare", "tiny", *words, *common).out)["pairs"]
        for words in (
            ("--level", "1,2", "--measures", "jaccard,hamming", "--arms", "ticket,reinit"),
            ("--level", "1", "--level", "2", "--measures", "jaccard", "--measures", "hamming", "--arms", "ticket",
             "--arms", "reinit"),
        )
    ]  # fmt: skip
    assert rows[0] == rows[1]
    assert {row["measure"] for row in rows[0]} == {"jaccard", "hamming"}
    means = [
        tombola("connect", "tiny", "--kinds", "dense", "--alphas", "3", *words, "--csv").out
        for words in (("--level", "1,2"), ("--level", "1", "--level", "2"))
    ]
    assert means[0] == means[1]
    assert {line.split(",")[2] for line in means[0].splitlines()[1:]} == {"1", "2"}


@pytest.mark.parametrize("command", ["compare", "connect"])
@pytest.mark.parametrize("level", ["one", "-1", "1,x"])
def test_levels_are_refused_alike(tombola: Tombola, done: Path, command: str, level: str) -> None:
    said = tombola(command, "tiny", "--level", level)
    assert said.code == 2
    assert f"--level takes whole numbers with commas between, 0 or more, found '{level}'" in said.err


@pytest.mark.parametrize("words", [("gap", "tiny"), ("tiny", "gap")])
def test_a_figure_and_its_run_in_either_order(tombola: Tombola, done: Path, words: tuple[str, str]) -> None:
    assert tombola("figure", *words).out == "gap.svg\n"


def test_a_run_that_is_called_like_a_figure(tombola: Tombola, done: Path) -> None:
    (Path.cwd() / "gap.toml").write_text(TINY.replace('"tiny"', '"gap"'))
    assert tombola("run", "gap.toml").code == 0
    assert tombola("figure", "gap", "gap").out == "gap.svg\n"
    assert tombola("figure", "early-stop", "gap").out == "early-stop.svg\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tiny", "gapp"), "unknown figure 'gapp'; did you mean 'gap'?\n"),
        (("gapp", "tiny"), "unknown figure 'gapp'; did you mean 'gap'?"),
        (("tiny",), "which figure of 'tiny'? Expected tombola figure tiny NAME"),
    ],
)
def test_figures_that_are_refused(
    tombola: Tombola, done: Path, words: tuple[str, ...], sentence: str
) -> None:
    said = tombola("figure", *words)
    assert (said.code, sentence in said.err) == (2, True), said.err


def test_train_and_evaluate_take_threads(tombola: Tombola) -> None:
    before = torch.get_num_threads()
    try:
        short = ("--set", "iterations=20", "--set", "evaluate_every=10")
        network = ("lenet-12-8", "--data", "digits", "--out", "net.safetensors", *short)
        assert tombola("train", *network, "--threads", "2").code == 0
        assert torch.get_num_threads() == 2
        assert tombola("evaluate", "net.safetensors", "--data", "digits", "--threads", "1").code == 0
        assert torch.get_num_threads() == 1
        assert tombola("train", *network, "--threads", "0").code == 2
    finally:
        torch.set_num_threads(before)
