"""Tests of runs do not wait for the disk: what is flushed when does not show to a process that goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from study_kit import run_tiny

from tombola.study import Run


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def _tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("tiny")).path


@pytest.fixture
def made(tmp_path: Path, _tiny_run: Path) -> Run:
    """The tiny study, run into `tmp_path`: a copy, for tests of what becomes of a run."""
    return Run(Path(shutil.copytree(_tiny_run, tmp_path / _tiny_run.name)))
