"""Parts of one's own on the command line: they are found, stored with the run, and not needed to read it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from support.own_parts import MINE, PARTS, STUDY, forgotten
from support.program import Tombola
from tombola import parts
from tombola.runs.locate import find_run


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test has read a run of parts of its own."""
    monkeypatch.setattr(parts, "REMEMBERED", type(parts.REMEMBERED)(dict))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A plug-in in the folder that commands are called in."""
    (tmp_path / "own.toml").write_text(STUDY)
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def made(tombola: Tombola, mine: Path) -> Path:
    """A run that was made with the plug-in, which is gone."""
    with forgotten("mine"):
        said = tombola("run", "own.toml", "--import", "mine.py", "--set", "pruning.criterion=my-move")
        assert said.code == 0, said.err
    mine.unlink()
    [folder] = Path("runs").glob("own-*")
    return folder


def test_reading_a_run_needs_none_of_its_code(made: Path, tombola: Tombola) -> None:
    stored = json.loads((made / "imports.json").read_text())
    assert stored["imports"].keys() == {"mine.py"}
    assert stored["parts"]["arm"]["mirrored"]["facts"] == {
        "mask": "my-mirror",
        "weights": "rewind",
        "dead": "zero",
    }
    assert 'imports = [\n    "mine.py",\n]' in (made / "study.toml").read_text()
    for words in (
        ("results", "own"),
        ("results", "own", "--csv"),
        ("status", "own"),
        ("runs",),
        ("diff", "own", "own"),
        ("verdicts", "own"),
        ("report", "own"),
        ("report", "own", "--format", "md"),
        ("compare", "own"),
        ("compare", "own", "--measures", "jaccard"),
        ("figure", "own", "accuracy-final", "--format", "svg", "--out", "a.svg"),
    ):
        said = tombola(*words)
        assert said.code == 0, (words, said.err)
        assert "mine" not in sys.modules
    paper = next((made / "report").rglob("paper.md")).read_text()
    assert "how far training moved a weight (mine, 2026)" in paper


def test_a_run_of_an_older_tombola_is_read_too(
    made: Path, tombola: Tombola, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder has no imports.json, and its study claims nothing of a measure of one's own."""
    (made / "imports.json").unlink()
    path = made / "study.toml"
    study = tomllib.loads(path.read_text())
    path.write_text(tomli_w.dumps({key: study[key] for key in study if key not in ("hypothesis", "compare")}))
    monkeypatch.setattr(parts, "REMEMBERED", type(parts.REMEMBERED)(dict))
    for words in (("results", "own"), ("status", "own"), ("report", "own")):
        said = tombola(*words)
        assert said.code == 0, (words, said.err)


def test_what_needs_the_code_asks_for_it(made: Path, tombola: Tombola, mine: Path) -> None:
    said = tombola("compare", "own", "--measures", "dead-in-both")
    assert said.code == 2
    assert "'mine.py' (no file mine.py here), which you have not run or accepted as it is now" in said.err
    with forgotten("mine"):
        mine.write_text(MINE)  # as it was when this user ran it
        assert tombola("compare", "own", "--measures", "dead-in-both").code == 0
    with forgotten("mine"):
        mine.write_text(MINE + "\n# changed\n")
        assert "--trust" in tombola("compare", "own", "--measures", "dead-in-both").err
        assert "mine" not in sys.modules
        assert tombola("compare", "own", "--measures", "dead-in-both", "--trust").code == 0


@pytest.mark.filterwarnings("always::tombola.errors.Notice")
def test_a_change_of_its_code_is_said(made: Path, tombola: Tombola, mine: Path) -> None:
    digest = json.loads((made / "imports.json").read_text())["imports"]["mine.py"]
    for text, changed in ((MINE, False), (MINE + "\n# changed\n", True), (MINE + "\n# changed\n", True)):
        mine.write_text(text)
        with forgotten("mine"):
            said = tombola(
                "run", "own.toml", "--import", "mine.py", "--set", "criterion=my-move", "--until", "training"
            )
        assert said.code == 0, said.err
        assert ("the code of 'mine.py' is another one than when the run was made" in said.err) == changed
        assert json.loads((made / "imports.json").read_text())["imports"]["mine.py"] == digest


def test_a_study_imports_what_lies_beside_it(tombola: Tombola, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    mine.rename("studies/mine.py")
    Path("studies/own.toml").write_text('imports = ["mine.py"]\n' + STUDY)
    with forgotten("mine"):
        assert tombola("run", "studies/own.toml", "--until", "training").code == 0
        assert find_run("own").study.imports == ("studies/mine.py",)
    with forgotten("mine"):
        same = tombola("run", "own.toml", "--import", "studies/mine.py", "--until", "training")
    assert "100% of this study is there already" in same.err, "imports are no part of a study's identity"


def test_the_catalogue_and_the_tab_key_know_them(tombola: Tombola, mine: Path) -> None:
    with forgotten("mine"):
        listed = tombola("catalog", "--import", "mine.py", "--json").out
    for kind, name in PARTS.items():
        assert name in json.loads(listed)[kind]
    assert "mine" not in json.loads(tombola("catalog", "criteria", "--json").out)["criteria"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("compare own --import mine.py --measures ", "dead-in-both"),
        ("run own.toml --import mine.py --set pruning.criterion=", "pruning.criterion=my-move"),
        ("run own.toml --import mine.py --set model.name=two", "model.name=two-layers"),
        ("train --import mine.py --data ", "stripes"),
    ],
)
def test_the_tab_key_reads_a_plug_in_without_running_it(
    line: str, name: str, tombola: Tombola, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in offered(line, tombola, monkeypatch)
    assert "mine" not in sys.modules


def offered(line: str, tombola: Tombola, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tab key offers at the end of a line."""
    words = f"tombola {line}"
    monkeypatch.setenv("_TOMBOLA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    return tombola().out.split()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("run studies/own.toml --set pruning.criterion=", "pruning.criterion=my-move"),
        ("compare theirs --measures ", "dead-in-both"),
        ("compare theirs-0 --measures ", "dead-in-both"),
        ("run own.toml --set pruning.criterion=", None),
    ],
)
def test_it_reads_what_the_study_that_was_named_imports_and_runs_none_of_it(
    line: str, name: str | None, tombola: Tombola, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, file in (("studies", "own.toml"), ("runs/theirs-01234567", "study.toml")):
        Path(place).mkdir(parents=True)
        (Path(place) / file).write_text('imports = ["mine.py", "../nowhere.py", "no.module"]\n' + STUDY)
        (Path(place) / "mine.py").write_text(f"{MINE}\nopen('executed', 'w')\n")
    mine.unlink()
    found = offered(line, tombola, monkeypatch)
    assert (name in found) if name else ("pruning.criterion=my-move" not in found)
    assert not Path("executed").exists()
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "import 'mine.py': no such file 'mine.py'"),
        ("import nowhere_to_be_found", "import 'mine.py': running it failed (ModuleNotFoundError: No module"),
        ("def f(:", "import 'mine.py': running it failed (SyntaxError: "),
        (
            "from tombola.masks.criteria import CRITERIA\nCRITERIA.register('random')(print)",
            "import 'mine.py': running it failed (ValueError: criterion 'random' is registered twice)",
        ),
    ],
)
def test_a_plug_in_that_fails_is_named(text: str | None, said: str, tombola: Tombola, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with forgotten("mine"):
        found = tombola("catalog", "--import", "mine.py")
    assert (found.code, said in found.err) == (2, True), found.err
    assert "mine" not in sys.modules


def test_imports_of_a_study_are_a_list(tombola: Tombola, mine: Path) -> None:
    Path("own.toml").write_text('imports = "mine.py"\n' + STUDY)
    assert "own.toml: imports is 'mine.py', expected a list of modules" in tombola("run", "own.toml").err


def test_a_broken_imports_file_is_named(made: Path, tombola: Tombola) -> None:
    path = made / "imports.json"
    stored = json.loads(path.read_text())
    stored["parts"]["mask action"]["my-mirror"]["facts"]["traits"] = "random"
    path.write_text(json.dumps(stored))
    said = tombola("results", "own")
    assert (said.code, f"{path}: broken at 'traits'" in said.err) == (2, True), said.err
