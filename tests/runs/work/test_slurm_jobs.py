"""Runs by jobs of submitit, on its own executor, which starts processes of this machine in the place of jobs."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from support.shared_runs import SMALL
from support.study_kit import contents, no_leftovers, run_tiny, tiny
from tombola.errors import UserError
from tombola.runs.folder import Run

JOBS = {"on": "slurm:2", "each": ["cluster=local"]}


def test_without_slurm_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not there: pip install 'tombola[slurm]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no Slurm on this machine"):
        run_tiny(tmp_path, on="slurm:2")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # submitit's own, and notices of workers that are lost
def test_jobs_make_the_same_run_and_one_that_is_killed_is_replaced(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not there: pip install 'tombola[slurm]'")
    whole = contents(run_tiny(tmp_path / "one", SMALL, engine="modules").path)
    out, killed = tmp_path / "jobs", list[int]()

    def kill() -> None:
        while not killed:
            for lease in out.glob("*/.work/*.lease"):
                name = lease.read_text()
                if len(Run(next(out.iterdir())).cells()) >= 8 and name.count("-") >= 2:
                    os.kill(pid := int(name.split("-")[-2]), signal.SIGKILL)
                    killed.append(pid)
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run = run_tiny(out, SMALL, engine="modules", **JOBS)
    assert killed
    assert contents(run.path) == whole
    assert no_leftovers(run.path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_job_raises_ends_the_run(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not there: pip install 'tombola[slurm]'")
    run = run_tiny(tmp_path, tiny(levels=1), engine="modules")
    end = run.path / "cells/r0/L01/ticket/0/end.safetensors"
    data = bytearray(end.read_bytes())
    data[-1] ^= 1
    end.write_bytes(data)
    with pytest.raises(UserError, match=r"end\.safetensors: is damaged"):
        run_tiny(tmp_path, tiny(levels=2), engine="modules", **JOBS)
