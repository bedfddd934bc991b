"""What tests of runs share: a finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.study_kit import run_tiny
from tombola.runs.folder import Run


@pytest.fixture(scope="session")
def _tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("tiny")).path


@pytest.fixture
def made(tmp_path: Path, _tiny_run: Path) -> Run:
    """The tiny study, run into `tmp_path`: a copy, for tests of what becomes of a run."""
    return Run(Path(shutil.copytree(_tiny_run, tmp_path / _tiny_run.name)))
