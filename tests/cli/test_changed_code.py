"""Stored weights and the code that made them: a model that was edited is refused by every command that computes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.program import Said, Tombola
from tombola.plugins.trusted import Accepting

MODULE = """
import torch
from torch import nn


class Edit(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(20, 16), nn.Linear(16, 4)

    def forward(self, x):
        a, b, relu = self.a, self.b, torch.relu
        return b(relu(a(x)))
"""
STUDY = """
name = "edit"
replicates = 2
levels = 1
model = { name = "m1:Edit" }
data = { name = "npz:clouds.npz", validation = 40 }
arms = [{ name = "random-mask" }]
[recipe]
iterations = 40
batch = 20
lr = 0.01
evaluate_every = 10
curve_every = 20
"""
EDITED = MODULE.replace("relu(a(x))", "0*a(x)")
REWRITTEN = MODULE.replace("b(relu(a(x)))", "b.bias + a(x).clamp(min=0) @ b.weight.T")
pytestmark = pytest.mark.filterwarnings("always::tombola.errors.Notice")
Edits = Callable[[str], None]


def write_clouds(path: Path, seed: int = 0) -> None:
    """Four Gaussian classes in twenty dimensions."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(4, 20))

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 4
        return (centres[labels] + rng.normal(size=(count, 20))).astype(np.float32), labels

    (x, y), (x_test, y_test) = part(200), part(80)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)


@pytest.fixture
def edit(tombola: Tombola, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edits:
    """Writes m1.py into the current folder, as somebody does between two commands."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(Accepting, "on", True)  # --trust: what may run at all is not what is asked here

    def write(text: str) -> None:
        (tmp_path / "m1.py").write_text(text)
        monkeypatch.delitem(sys.modules, "m1", raising=False)

    write(MODULE)
    return write


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study, its run and a network that was trained, made once; only copies are handed out."""
    from tombola.cli.app import main

    place = tmp_path_factory.mktemp("made")
    (place / "m1.py").write_text(MODULE)
    (place / "edit.toml").write_text(STUDY)
    write_clouds(place / "clouds.npz")
    settings = [f"--set={key}" for key in ("iterations=40", "evaluate_every=10", "validation=40")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.delitem(sys.modules, "m1", raising=False)
        for args in (
            ["run", "edit.toml"],
            ["train", "m1:Edit", "--data", "npz:clouds.npz", "--out", "net.safetensors", *settings],
        ):
            patch.setattr(sys, "argv", ["tombola", *args])
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
    sys.modules.pop("m1", None)
    return place


@pytest.fixture
def made(edit: Edits, tmp_path: Path, _made: Path) -> Path:
    """The run folder, in the folder that commands are called in."""
    shutil.copytree(_made, tmp_path, dirs_exist_ok=True)
    [folder] = (tmp_path / "runs").iterdir()
    return Path("runs") / folder.name


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Relative path -> size and time of every file but the lock."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def computing(run: Path) -> dict[str, list[str]]:
    """Commands that compute with stored weights."""
    return {
        "extension": ["run", "edit.toml", "--set", "levels=2"],
        "resume": ["run", "edit.toml"],
        "evaluate a file": ["evaluate", "net.safetensors", "--data", "npz:clouds.npz"],
        "evaluate a cell": ["evaluate", f"{run}/cells/r0/L01/ticket/0", "--data", "npz:clouds.npz"],
        "evaluate on other data": ["evaluate", "net.safetensors", "--data", "npz:other.npz"],
        "connect": ["connect", "edit", "--level", "1", "--alphas", "3"],
        "function": ["compare", "edit", "--measures", "function", "--n-null", "2"],
        "aligned by activations": [
            "compare",
            "edit",
            "--measures",
            "jaccard",
            "--aligned",
            "activations@dense",
            "--n-null",
            "2",
        ],
        "topology": ["compare", "edit", "--measures", "paths", "--n-null", "2"],
    }


COMMANDS = list(computing(Path()))


@pytest.mark.parametrize("what", COMMANDS)
def test_an_edited_model_is_refused(
    what: str, tombola: Tombola, edit: Edits, made: Path, tmp_path: Path
) -> None:
    write_clouds(tmp_path / "other.npz", seed=1)
    before = files(made)
    edit(EDITED)
    said = tombola(*computing(made)[what])
    assert (said.code, said.out) == (2, "")
    subject = "this network was trained" if what.startswith("evaluate") else "this run was made"
    start = "tombola: " if what.startswith("evaluate") else f"tombola: {made}: "
    assert said.err.startswith(
        f"{start}model 'm1:Edit' computes something else than when {subject} (its outputs"
    )
    assert "; put the code back" in said.err
    assert said.err.count("\n") == 1
    assert files(made) == before, "nothing is written"
    assert [path.name for path in Path("runs").iterdir()] == [made.name]


@pytest.mark.parametrize(
    "what", [name for name in COMMANDS if name not in ("aligned by activations", "topology")]
)
def test_the_same_function_written_otherwise_goes_on(
    what: str, tombola: Tombola, edit: Edits, made: Path, tmp_path: Path
) -> None:
    write_clouds(tmp_path / "other.npz", seed=1)
    edit(REWRITTEN)
    said = tombola(*computing(made)[what])
    assert said.code == 0, said.err
    assert "note" not in said.err


def test_reading_never_needs_the_code(tombola: Tombola, edit: Edits, made: Path) -> None:
    edit("raise RuntimeError('gone')")
    for args in (
        ["results", "edit"],
        ["results", "edit", "--csv"],
        ["status", "edit"],
        ["runs"],
        ["report", "edit"],
    ):
        assert tombola(*args).code == 0, args
    shown = tombola("ticket", "show", "net.safetensors")
    assert "function" not in shown.out
    assert "function" in json.loads(tombola("ticket", "show", "net.safetensors", "--json").out)["provenance"]
    assert tombola("compare", "edit", "--measures", "jaccard", "--n-null", "2").code == 0


def without_record(run: Path) -> None:
    """The run as an older Tombola left it."""
    path = run / "environment.json"
    environment = json.loads(path.read_text())
    del environment["function"], environment["study"], environment["seal"]
    path.write_text(json.dumps(environment))


@pytest.mark.parametrize("what", [name for name in COMMANDS if "file" not in name and "other" not in name])
def test_an_old_run_is_noted_and_not_refused(what: str, tombola: Tombola, made: Path) -> None:
    without_record(made)
    said = tombola(*computing(made)[what])
    assert said.code == 0, said.err
    assert "note: " in said.err
    assert "nothing is recorded of what model 'm1:Edit' computed when" in said.err
    assert said.err.count("nothing is recorded") == 1
    if what in ("extension", "resume"):  # taken up again, it is guarded from here on
        again = tombola(*computing(made)[what])
        assert (again.code, "note" in again.err) == (0, False)


def test_a_built_in_model_is_guarded_too(
    tombola: Tombola, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.clamp(min=-0.1))
    said = tombola("evaluate", done / "cells/r0/L01/ticket/0", "--data", "digits")
    assert said.code == 2
    assert "model 'lenet-12-8' computes something else than when this network was trained" in said.err


# --- data, and where the study lies -------------------------------------------------------------------------


def test_other_data_under_the_same_path_are_said_to_be_a_second_study(
    tombola: Tombola, made: Path, tmp_path: Path
) -> None:
    write_clouds(tmp_path / "clouds.npz", seed=1)
    for args in (["run", "edit.toml", "--dry-run"], ["run", "edit.toml"]):
        said = tombola(*args)
        assert said.code == 0
        [note] = [line for line in said.err.splitlines() if line.startswith("note")]
        digest = json.loads((made / "environment.json").read_text())["record"]["data"]
        assert note.startswith(f"note: the same study on other data is in {made} (digest {digest}, now ")
        assert note.count(": this is a second study, in runs/edit-") == 1
    again = tombola("run", "edit.toml")
    assert "note" not in again.err, "it is said when the folder is begun"


def test_a_renamed_folder_reads_as_before_and_a_second_run_is_announced(tombola: Tombola, made: Path) -> None:
    facts = tombola("results", "edit", "--csv").out
    os.rename(made, "runs/final")
    renamed = tombola("results", "final", "--csv")
    assert (renamed.code, renamed.out, renamed.err) == (0, facts, "")
    said = tombola("run", "edit.toml")
    assert said.code == 0
    assert f"note: the same study lies in runs/final; this run trains all of it again in {made}" in said.err
    other = tombola("run", "edit.toml", "--set", "name=another")
    assert "note" not in other.err, "a study of another name is meant to be another run"


def rewrite(run: Path, old: str, new: str) -> None:
    path = run / "study.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


READING = {
    "results": ["results", "RUN"],
    "results as CSV": ["results", "RUN", "--csv"],
    "results as JSON": ["results", "RUN", "--json"],
    "report": ["report", "RUN"],
    "paper": ["report", "RUN", "--format", "md"],
    "status": ["status", "RUN"],
    "verdicts": ["verdicts", "RUN"],
    "diff": ["diff", "RUN", "RUN"],
    "compare": ["compare", "RUN", "--measures", "jaccard", "--n-null", "2"],
    "connect": ["connect", "RUN", "--alphas", "3"],
    "predict": ["predict", "RUN", "--steps", "0"],
    "seeding": ["seeding", "RUN"],
    "figure": ["figure", "accuracy-final", "RUN"],
    "ticket": ["ticket", "show", "RUN/cells/r0/L01/ticket/0"],
    "evaluate": ["evaluate", "RUN/cells/r0/L01/ticket/0", "--data", "npz:clouds.npz"],
}


def asked(tombola: Tombola, what: str, run: Path) -> Said:
    return tombola(*(part.replace("RUN", str(run)) for part in READING[what]))


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("what", READING)
def test_an_edited_study_is_found_whatever_its_folder_is_called(
    what: str, renamed: bool, tombola: Tombola, made: Path
) -> None:
    rewrite(made, "iterations = 40", "iterations = 30")
    if renamed:
        made = made.rename("runs/final")
    said = asked(tombola, what, made)
    assert (said.code, said.out) == (2, "")
    assert (
        f"{made}: study.toml says recipe.iterations = 30, but the cells were trained with 40; put it back"
        in said.err
    )


def test_an_edited_study_is_broken_in_the_list_and_the_others_are_there(tombola: Tombola, made: Path) -> None:
    shutil.copytree(made, "runs/copy")
    rewrite(Path("runs/copy"), "iterations = 40", "iterations = 30")
    rows = {row["run"]: row for row in json.loads(tombola("runs", "--json").out)}
    assert rows["copy"]["state"] == "broken"
    assert "recipe.iterations = 30" in rows["copy"]["title"]
    assert rows[made.name]["state"] == "finished"
    assert tombola("runs").code == 0


def test_running_an_edited_study_is_refused_by_its_own_name_and_by_the_new_one(
    tombola: Tombola, made: Path
) -> None:
    rewrite(made, "iterations = 40", "iterations = 30")
    refused = tombola("run", "edit.toml")
    assert (refused.code, "recipe.iterations = 30, but the cells" in refused.err) == (2, True)
    # Renamed to what the edited study is called: the record still knows.
    plan = json.loads(tombola("run", "edit.toml", "--set", "iterations=30", "--dry-run", "--json").out)
    os.rename(made, plan["run"])
    refused = tombola("run", "edit.toml", "--set", "iterations=30")
    assert (refused.code, "recipe.iterations = 30, but the cells" in refused.err) == (2, True)


def test_an_old_run_is_judged_by_its_folders_name(tombola: Tombola, made: Path) -> None:
    without_record(made)
    assert tombola("results", "edit").err == ""
    rewrite(made, "iterations = 40", "iterations = 30")
    said = tombola("results", "edit", "--csv")
    assert said.code == 2
    assert "study.toml has the id" in said.err
    assert f"by its name the folder is of study {made.name[-8:]}" in said.err
    os.rename(made, "runs/final")
    said = tombola("results", "final", "--csv")
    assert said.code == 0
    assert "note: runs/final: neither environment.json nor the folder's name says by which study" in said.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = ""', 'title = "better"'),
        ("levels = 1", "levels = 3"),
        ('{ name = "random-mask", draws = 1 },', ""),
        ('{ name = "random-mask", draws = 1 },', '{ name = "random-mask", draws = 2 }, { name = "reinit" },'),
        ("replicates = 2", "replicates = 1"),
    ],
)
def test_what_decides_no_cell_may_be_edited(old: str, new: str, tombola: Tombola, made: Path) -> None:
    rewrite(made, old, new)
    said = tombola("results", "edit")
    assert (said.code, said.err) == (0, "")
