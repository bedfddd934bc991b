"""A folder of a stranger's, whose run and ticket name code: no command runs it, until its user accepts it."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import tombola as front
from support.program import Tombola
from tombola.cli.app import app
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.plugins import trusted
from tombola.runs.folder import Run
from tombola.runs.unedited import facts_of
from tombola.study.bind import bind
from tombola.study.spec import Study

EVIL = "from pathlib import Path\nPath('RAN').touch()\n"
"""What shows that code of the folder was run."""
CALL = {"name": "os:system", "options": {"command": "touch RAN"}}
"""A model that needs no code but Python's own."""
COMMANDS: dict[str, list[list[str]]] = {
    "run": [
        ["runs/RUN/study.toml"],
        ["runs/RUN/study.toml", "--dry-run"],
        ["runs/RUN/study.toml", "--set", "levels=3"],
        ["runs/RUN/again.toml"],
    ],
    "runs": [[]],
    "status": [["RUN"]],
    "results": [["RUN"]],
    "report": [
        ["RUN"],
        ["RUN", "--format", "md"],
        ["RUN", "--template", "proposal", "--format", "md"],
        ["runs/RUN/study.toml", "--template", "proposal", "--format", "md"],
    ],
    "diff": [["RUN", "RUN"]],
    "verdicts": [["RUN"]],
    "verify": [["RUN"], ["RUN", "--repair"]],
    "predict": [["RUN"]],
    "seeding": [["RUN"]],
    "figure": [["RUN", "accuracy-final", "--format", "svg", "--out", "a.svg"]],
    "compare": [
        ["RUN", "--measures", "jaccard"],
        ["RUN", "--measures", "jaccard", "--aligned", "weights@dense"],
        ["RUN", "--measures", "disagreement"],
        ["RUN", "--measures", "theirs"],
        ["ticket.safetensors", "RUN", "--measures", "jaccard"],
    ],
    "connect": [["RUN", "--level", "1"]],
    "evaluate": [["ticket.safetensors", "--data", "digits"], ["CELL", "--data", "digits"]],
    "ticket show": [["ticket.safetensors"], ["CELL"]],
    "ticket export": [["ticket.safetensors", "--out", "a.pt"], ["CELL", "--out", "b.pt"]],
    "ticket apply": [["ticket.safetensors", "--to", "ticket.safetensors", "--out", "c.pt"]],
    "ticket measure": [["CELL"]],
    "transfer": [["widen", "ticket.safetensors", "--out", "d.safetensors"]],
    "catalog": [[]],
    "data list": [[]],
}
"""Every command that reads anything, with what a user may type beside a stranger's folder."""
ELSEWHERE = {
    "watch": "serves until it is stopped; the page is that of `report`",
    "train": "trains what is named on the command line",
    "data fetch": "reads nothing but the name of a data set",
    "doctor": "measures this machine",
    "bench": "measures this machine",
}


@pytest.fixture
def strange(done: Path, tmp_path: Path) -> Iterator[Path]:
    """The tiny run, as a stranger could have made it up: everything in it says that it is in order."""
    text = tomllib.loads((done / "study.toml").read_text())
    recipe = {**text["recipe"], "loss": "evil_module:loss"}
    study = Study.model_validate(
        {**text, "model": CALL, "imports": ["evil.py", "evil_module"], "recipe": recipe}
    )
    folder = done.with_name(study.folder)
    done.rename(folder)
    for name in ("study.toml", "again.toml"):
        (folder / name).write_text(study.to_toml())
    facts = Run(folder).environment
    facts["study"] = facts_of(study, facts["study"])
    Run(folder).write_environment(facts)
    sources = {"imports": {"evil.py": "0" * 16}, "parts": {"measure": {"theirs": measure()}}}
    (folder / "imports.json").write_text(json.dumps(sources))
    for place in (tmp_path, folder):
        for name in ("evil.py", "evil_module.py", "sitecustomize.py", "tombola_plugins.py"):
            (place / name).write_text(EVIL)
    cell = folder / "cells/r0/L01/ticket/0"
    ticket = Run(folder).ticket(Run(folder).cells()[-1])
    about = {"model": CALL, "data": {"name": "digits", "normalisation": "standard"}}
    Ticket(ticket.mask, ticket.start, ticket.end, about, ticket.keys).save(tmp_path / "ticket.safetensors")
    assert cell.is_dir()
    places = [*sys.path]
    yield folder
    sys.path[:] = places  # code that was accepted may search its folder
    for name in ("evil", "evil_module"):
        sys.modules.pop(name, None)


def measure() -> dict[str, Any]:
    facts = {"adjusted": False, "null": None, "of_outputs": False, "ordered": True, "reads": "mask"}
    return {"line": "", "facts": {**facts, "subjects": 2, "tensorwise": True}}


def typed(words: list[str], folder: Path) -> list[str]:
    """The words with the names of the run and of a cell of it filled in."""
    cell = str(folder / "cells/r0/L01/ticket/0")
    return [cell if word == "CELL" else word.replace("RUN", folder.name) for word in words]


@pytest.mark.filterwarnings("ignore::tombola.errors.Notice")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_what_a_strangers_folder_names(
    command: str, strange: Path, tombola: Tombola, tmp_path: Path
) -> None:
    path = list(sys.path)
    for words in COMMANDS[command]:
        said = tombola(*command.split(), *typed(words, strange))
        assert said.code in (0, 2)
        assert said.code == 0 or "which you have not run or accepted as it is now" in said.err, said.err
    assert not list(tmp_path.rglob("RAN"))
    assert not {"evil", "evil_module"} & sys.modules.keys()
    assert sys.path == path, "the current folder is searched for trusted code only"
    assert not trusted.trust_file().exists() or len(trusted.trust_file().read_text().split()) == 1


def test_every_command_is_tried() -> None:
    group: Any = get_command(app)
    leaves = {
        f"{name} {below}".strip()
        for name, each in group.commands.items()
        for below in getattr(each, "commands", None) or [""]
    }
    assert leaves == {*COMMANDS, *ELSEWHERE}


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "RUN", "--measures", "jaccard", "--aligned", "weights@dense"],
        ["connect", "RUN", "--level", "1"],
        ["run", "runs/RUN/study.toml", "--dry-run"],
        ["run", "runs/RUN/again.toml"],
        ["evaluate", "ticket.safetensors", "--data", "digits"],
    ],
)
def test_accepted_it_is_run(words: list[str], strange: Path, tombola: Tombola, tmp_path: Path) -> None:
    """So the test above could fail."""
    said = tombola(*typed(words, strange))
    assert "--trust" in said.err
    assert not list(tmp_path.rglob("RAN"))
    assert tombola(*typed(words, strange), "--trust").code == 2  # what it runs is no network
    assert list(tmp_path.rglob("RAN"))
    assert trusted.trust_file().stat().st_mode & 0o777 == 0o600


def test_accepted_from_python_it_is_run_too(strange: Path, tombola: Tombola, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--trust"):
        bind(Run(strange).study)
    assert not list(tmp_path.rglob("RAN"))
    front.trust(strange)
    with pytest.raises(UserError, match="os:system"):
        bind(Run(strange).study)
    assert list(tmp_path.rglob("RAN"))


def test_nothing_in_the_folder_proves_anything(strange: Path, tombola: Tombola, tmp_path: Path) -> None:
    """A trust file beside the run, or one that its user left open to others, is not believed."""
    for place in (strange, tmp_path, tmp_path / ".local/state"):
        (place / "tombola").mkdir(parents=True)
        (place / "tombola/trust").write_text("0" * 64)
    assert "--trust" in tombola("connect", strange.name, "--level", "1").err
    mine = trusted.trust_file()
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("0" * 64)
    mine.chmod(0o644)
    assert (
        "is open to others (mode 644), so that it proves nothing"
        in tombola("connect", strange.name, "--level", "1").err
    )
    assert not list(tmp_path.rglob("RAN"))


def test_what_was_accepted_holds_for_these_options_and_sources_alone(
    strange: Path, tombola: Tombola, tmp_path: Path
) -> None:
    tombola("evaluate", "ticket.safetensors", "--data", "digits", "--trust")
    (tmp_path / "RAN").unlink()
    trusted.OWN.clear()
    trusted.Accepting.on = False
    tombola("evaluate", "ticket.safetensors", "--data", "digits")
    assert (tmp_path / "RAN").exists(), "accepted once, it is not asked for again"
    (tmp_path / "RAN").unlink()
    ticket = Ticket.load(tmp_path / "ticket.safetensors")
    other = {**ticket.provenance, "model": {**CALL, "options": {"command": "touch RAN # other"}}}
    Ticket(ticket.mask, ticket.start, ticket.end, other, ticket.keys).save(tmp_path / "other.safetensors")
    assert "--trust" in tombola("evaluate", "other.safetensors", "--data", "digits").err
    assert not (tmp_path / "RAN").exists()
    shutil.rmtree(strange)
