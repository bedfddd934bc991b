"""Runs that are stopped, at any moment and in any way, and finish with the bits of an undisturbed one."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.cases import also_slow
from support.killed_runs import STUDY
from support.study_kit import contents, no_leftovers, run_tiny, tiny
from tombola.lottery.cell import Cell, Drawn
from tombola.runs import stacks
from tombola.runs.folder import Run
from tombola.runs.progress import Silent
from tombola.training.checkpoint import Checkpoint

OPERATIONS = 1000
"""More changes of the disk than the study makes."""
TESTS = str(Path(__file__).parents[1])
SCRIPT = Path(TESTS) / "support" / "killed_runs.py"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The contents of the study's folder when nothing happens."""
    return contents(run_tiny(tmp_path_factory.mktemp("undisturbed"), STUDY).path)


@pytest.fixture(autouse=True)
def checkpoints_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))


def die(out: Path, *deaths: str) -> list[str]:
    """How the runs ended that killed_runs.py started in `out`, one after the other."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(out), *deaths],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])},
    )
    return done.stdout.split("\n")[:-1]


def folder_of(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def whole_cells_only(folder: Path) -> bool:
    """Whether every cell folder that has its proper name can be read in full."""
    run = Run(folder)
    for cell in run.cells():
        assert run.record(cell).status == "ok"
        run.ticket(cell)
        assert run.history(cell).height > 0
    return True


# --- kill -9 ------------------------------------------------------------------------------------------------


def test_killed_again_and_again_and_at_any_time_it_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Two folders: one killed at a random change of the disk, at some of the first ones too, and one by the clock."""
    chance = random.Random(2)
    deaths = [f"op:{n}@changes" for n in (1, 2, 3, 4, 5, *(chance.randrange(6, 60) for _ in range(12)))]
    times = [f"time:{chance.uniform(0.01, 0.25):.3f}@clock" for _ in range(6)]
    ends = die(tmp_path, *deaths, "never@changes", *times)  # in one go, since torch takes long to import
    by_change, by_clock = ends[: len(deaths) + 1], ends[len(deaths) + 1 :]
    assert by_change[-1] == "exit 0"
    assert by_change.count("killed") >= 10
    folder = folder_of(tmp_path / "changes")
    assert no_leftovers(folder)
    assert contents(folder) == undisturbed

    assert "killed" in by_clock
    folder = folder_of(tmp_path / "clock")
    if folder.joinpath("study.toml").exists():
        assert whole_cells_only(folder)
    run_tiny(tmp_path / "clock", STUDY)
    assert contents(folder) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 3, 5, 8])
def test_killed_at_four_tenths_of_all_changes_of_the_disk(
    part: int, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    operations = range(1 + part, OPERATIONS, 10)
    ends = die(tmp_path, *(death for n in operations for death in (f"op:{n}@{n}", f"never@{n}")))
    for place, (first, second) in zip(operations, zip(ends[::2], ends[1::2], strict=True), strict=True):
        assert (first, second) == ("killed" if first == "killed" else "exit 0", "exit 0"), place
        folder = folder_of(tmp_path / str(place))
        assert no_leftovers(folder), place
        assert contents(folder) == undisturbed, place
    assert ends[0] == "killed"
    assert ends[-2] == "exit 0", "OPERATIONS is too small to get to the end of the run"


# --- Ctrl-C -------------------------------------------------------------------------------------------------


class Stopper(Silent):
    """Presses Ctrl-C once a number of reports came in."""

    def __init__(self, after: int) -> None:
        self.left = after

    def begin(self, total: int, done: int) -> None:
        self._count()

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        self._count()

    def landed(self, drawn: Sequence[Drawn]) -> None:
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", also_slow([0, 5, 12, 24], [0, 1, 5, 11, 12, 13, 20, 24, 25, 32]))
def test_stopped_by_hand_it_ends_with_the_same_bits(
    after: int, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, STUDY, progress=Stopper(after))
    assert whole_cells_only(folder_of(tmp_path))
    assert not list(tmp_path.rglob("*.tmp")), "an exception leaves nothing half-written"
    run_tiny(tmp_path, STUDY)
    assert contents(folder_of(tmp_path)) == undisturbed


@pytest.mark.parametrize("engine", also_slow(["auto"], ["modules"]))
def test_on_another_engine_as_well(engine: str, tmp_path: Path) -> None:
    whole = contents(run_tiny(tmp_path / "whole", STUDY, engine=engine).path)
    for after in (5, 8, 9):
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path / "stopped", STUDY, progress=Stopper(after), engine=engine)
    assert contents(run_tiny(tmp_path / "stopped", STUDY, engine=engine).path) == whole


def test_it_goes_on_from_the_checkpoint_and_not_from_the_start(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, STUDY, progress=Stopper(8))  # begin, then iterations 0, 3, ..., 18
    resumed = []
    real = Checkpoint.read

    def read(self: Checkpoint, key: str) -> Any:
        resumed.append(real(self, key))
        return resumed[-1]

    monkeypatch.setattr(Checkpoint, "read", read)
    run_tiny(tmp_path, STUDY)
    assert resumed[0] is not None
    assert resumed[0][0] == 21
    assert contents(folder_of(tmp_path)) == undisturbed


def test_leftovers_of_a_dead_process_are_swept(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    run = run_tiny(tmp_path, STUDY.model_copy(update={"levels": 1}))
    half_cell = run.path / "cells" / "r0" / "L01" / "ticket" / ".0.0123abcd.tmp"
    half_cell.mkdir()
    (half_cell / "cell.json").write_text("{")
    halves = [
        run.path / ".study.toml.0123abcd.tmp",
        run.path / "..checkpoint.safetensors.0123abcd.tmp",
        run.path / "starts" / ".0123456789abcdef.safetensors.0123abcd.tmp",
    ]
    for half in halves:
        half.write_bytes(b"half")
    (run.path / ".checkpoint.safetensors").write_bytes(b"half")
    assert len(run.cells()) == 8, "half a cell is no cell"
    run_tiny(tmp_path, STUDY)
    assert no_leftovers(run.path)
    assert contents(run.path) == undisturbed


def test_half_a_spec_in_an_empty_folder_is_no_foreign_folder(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    run = run_tiny(tmp_path / "one", STUDY)
    folder = tmp_path / "two" / run.path.name
    folder.mkdir(parents=True)
    (folder / ".study.toml.0123abcd.tmp").write_text("name = ")
    assert contents(run_tiny(tmp_path / "two", STUDY).path) == undisturbed


# --- a full disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", also_slow([1, 3, 21, 57], [1, 2, 3, 8, 21, 40, 57, 80]))
def test_a_full_disk_leaves_no_half_of_anything(
    write: int, tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = write

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            run_tiny(tmp_path, STUDY)
    assert caught.value.errno == errno.ENOSPC
    folder = folder_of(tmp_path)
    assert not list(folder.rglob("*.tmp"))
    assert whole_cells_only(folder)
    run_tiny(tmp_path, STUDY)
    assert contents(folder) == undisturbed


# --- every way of keeping weights ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "mode"),
    also_slow(
        [("all", "iterative"), ("living", "one-shot"), ("masks", "iterative")],
        [(keep, mode) for keep in ("all", "living", "masks") for mode in ("iterative", "one-shot")],
    ),
)
def test_stopped_between_levels_it_goes_on_whatever_is_kept(keep: str, mode: str, tmp_path: Path) -> None:
    study = tiny(
        levels=3, store={"keep": keep}, pruning={"mode": mode, "rewind": 5}, arms=[{"name": "reinit"}]
    )
    whole = contents(run_tiny(tmp_path / "whole", study).path)
    landings = LandingStopper()
    for _ in range(study.levels + 1):
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path / "stopped", study, progress=landings)
    run = run_tiny(tmp_path / "stopped", study)
    assert run.cells() == sorted(study.cells())
    assert contents(run.path) == whole


class LandingStopper(Stopper):
    """Presses Ctrl-C whenever a stack has been stored."""

    def __init__(self) -> None:
        super().__init__(1_000_000)

    def landed(self, drawn: Sequence[Drawn]) -> None:
        raise KeyboardInterrupt
