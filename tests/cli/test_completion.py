"""What the tab key offers, asked for as shells ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.program import Tombola
from tombola import parts
from tombola.cli import kinds, names
from tombola.study.load import presets

STUDY = 'name = "tiny"\nlevels = 2\n[[arms]]\nname = "reinit"\n[[arms]]\nname = "my-own-arm"\n'
ROUTES = '[[route]]\nname = "far"\ncontrols = ["random", { name = "late", start = "own" }]\n'


@pytest.fixture
def runs(tmp_path: Path) -> None:
    """Two runs and a sweep, as far as the tab key looks at them, elsewhere one more, and study files."""
    for place, file in (
        ("runs/tiny-01234567", "study.toml"),
        ("runs/tall-01234567", "study.toml"),
        ("runs/table-76543210", "sweep.toml"),
        ("elsewhere/other-01234567", "study.toml"),
    ):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / file).write_text(STUDY)
    (tmp_path / "runs/tall-01234567/study.toml").write_text("not TOML")
    (tmp_path / "elsewhere/other-01234567/study.toml").write_text(STUDY + ROUTES)
    (tmp_path / "quantum.toml").write_text(STUDY)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/mine.toml").write_text(STUDY)


@pytest.fixture
def press(tombola: Tombola, monkeypatch: pytest.MonkeyPatch, runs: None) -> Tombola:
    """Types some words and presses the tab key in the last of them."""

    def offered(line: str) -> list[str]:
        words = line.split()
        monkeypatch.setenv("_TOMBOLA_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - (not line.endswith(" "))))
        said = tombola()
        assert (said.code, said.err) == (0, "")
        return said.out.split()

    return offered  # type: ignore[return-value]


OFFERS = {
    "tombola re": ["results", "report"],
    "tombola run qu": ["quick", "quantum.toml"],
    "tombola run studies/": ["studies/mine.toml"],
    "tombola run quick --engine s": ["sparse", "sparse-conv", "stacked"],
    "tombola run quick --device c": ["cpu", "cuda"],
    "tombola run quick --track t": ["tensorboard"],
    "tombola status t": ["table-76543210", "tall-01234567", "tiny-01234567"],
    "tombola status --runs elsewhere ": ["other-01234567"],
    "tombola diff tiny-01234567 ti": [],
    "tombola results ta": ["table-76543210", "tall-01234567"],
    "tombola report tiny --format p": ["pdf"],
    "tombola report tiny --template p": ["paper", "proposal"],
    "tombola compare tiny-01234567 ti": [],
    "tombola compare tiny --measures sign-": ["sign-agreement", "sign-similarity"],
    "tombola compare tiny --measures jaccard,sign-a": ["jaccard,sign-agreement"],
    "tombola compare tiny --measures=sign-a": ["sign-agreement"],
    "tombola compare tiny --measures jaccard,ham": ["jaccard,hamming"],
    "tombola compare tiny --measures func": ["function"],
    "tombola compare tiny --measures cka,barr": ["cka,barrier"],
    "tombola compare tiny --aligned weights": ["weights@dense", "weights@dense-held-out", "weights@end"],
    "tombola compare tiny --nulls layer": ["layer-shuffle"],
    "tombola compare tiny --arms ": ["ticket", "reinit", "my-own-arm"],
    "tombola compare tiny --arms ticket,": ["ticket,reinit", "ticket,my-own-arm"],
    "tombola compare tall --arms freez": ["freeze"],
    "tombola compare other --runs elsewhere --arms fa": ["far", "far-random", "far-late"],
    "tombola compare tiny --level ": ["0", "1", "2"],
    "tombola compare tiny --level 1,": ["1,0", "1,2"],
    "tombola connect tiny --level 2": ["2"],
    "tombola connect tiny --kinds levels,d": ["levels,dense", "levels,donors", "levels,donors-apart"],
    "tombola connect tiny --arms my": ["my-own-arm"],
    "tombola figure ti": ["tiny-01234567"],
    "tombola figure ga": ["gap"],
    "tombola figure tiny-01234567 ga": ["gap"],
    "tombola figure gap ti": ["tiny-01234567"],
    "tombola figure gap learn": [],
    "tombola train conv": ["conv-2", "conv-4", "conv-6"],
    "tombola train wrn": [],
    "tombola train lenet-5 --data dig": ["digits", "digits-28"],
    "tombola evaluate file --data fa": ["fashion-mnist"],
    "tombola data fetch cifar": ["cifar10", "cifar100"],
    "tombola catalog me": ["measures"],
    "tombola catalog pr": ["presets"],
    "tombola ticket export file --form t": ["torch-prune"],
}


@pytest.mark.parametrize("line", OFFERS)
def test_offers(press: Tombola, line: str) -> None:
    assert press(line) == OFFERS[line]


def test_all_presets_are_offered(press: Tombola) -> None:
    assert set(press("tombola run ")) == {*presets(), "quantum.toml"}


def test_a_shell_gets_them_from_the_program_itself(tmp_path: Path, runs: None) -> None:
    environment = {"_TOMBOLA_COMPLETE": "complete_bash", "COMP_WORDS": "tombola status ti", "COMP_CWORD": "2"}
    program = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'tombola'; from tombola.cli import main; main()",
    ]
    done = subprocess.run(
        program,
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "tiny-01234567\n", "")


def test_the_names_that_are_written_down_are_those_that_are_there() -> None:
    again = "the registries have other parts than the tables; write them anew: python -m tombola.cli.kinds"
    assert names.FILE.read_text() == kinds.written(), again
    assert parts.FILE == names.FILE
    assert names.kinds() == kinds.kinds()
    for kind in ("presets", "recipes"):
        assert names.names(kind) == [*kinds.lines(kind)]
