"""Running commands in this process, as `tombola` would."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from support.program import TINY, Said, Tombola
from tombola.cli.app import main


@pytest.fixture
def tombola(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, quick_pictures: None
) -> Tombola:
    """Calls `tombola ARGS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOMBOLA_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["tombola", *map(str, args)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Said(printed.out, printed.err, int(code or 0))  # type: ignore[call-overload]

    return call


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study that takes a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `runs/` with the tiny study, run once for all tests; only copies are handed out."""
    place = tmp_path_factory.mktemp("finished")
    (place / "tiny.toml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "argv", ["tombola", "run", "tiny.toml"])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return place


@pytest.fixture
def done(tombola: Tombola, study_file: Path, tmp_path: Path, _finished: Path) -> Path:
    """The run folder of the tiny study, finished, in the folder that commands are called in."""
    shutil.copytree(_finished / "runs", tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    return folder
