"""Which study files are stored, so that code which they name is run only where it is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tombola.study.load import is_stored


@pytest.mark.parametrize(
    ("files", "path", "stored"),
    [
        (["mine.toml"], "mine.toml", False),
        (["study.toml", "net.py"], "study.toml", False),
        (["study.toml", "studies/mine.toml"], "studies/mine.toml", False),
        (["runs/a/study.toml", "runs/a/environment.json"], "runs/a/study.toml", True),
        (["runs/a/study.toml", "runs/a/cells/x"], "runs/a/study.toml", True),
        (["runs/a/study.toml", "runs/a/imports.json"], "runs/a/other/mine.toml", True),
        (["runs/a-01234567/study.toml"], "runs/a-01234567/study.toml", True),
        (["runs/a-01234567/sweep.toml"], "runs/a-01234567/mine.toml", True),
        (["a-01234567/mine.toml"], "a-01234567/mine.toml", False),
        (["runs/a-01234567/study.toml", "mine.toml"], "mine.toml", False),
    ],
)
def test_a_study_file_is_stored_in_the_folder_of_a_run(
    files: list[str], path: str, stored: bool, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert is_stored(tmp_path / path) == stored
