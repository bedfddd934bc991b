"""Runs that several processes share: those that a run starts itself, and those that are started by hand."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from support.shared_runs import SMALL, Shared
from support.study_kit import Notes, contents, no_leftovers, run_tiny, tiny
from tombola.errors import Notice, UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of the study."""
    return contents(run_tiny(tmp_path_factory.mktemp("whole"), SMALL, engine="modules").path)


def test_several_processes_make_the_same_run(tmp_path: Path) -> None:
    study = tiny()
    one = run_tiny(tmp_path / "one", study)
    notes = Notes()
    several = run_tiny(tmp_path / "several", study, on="local:2", progress=notes)
    assert contents(several.path) == contents(one.path)
    assert (notes.total, notes.done, notes.advanced) == (280, 0, 280)
    assert sorted(set(notes.landed_cells)) == one.cells()
    assert not (several.path / ".work").exists()


def test_what_cannot_be_handed_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be handed to other processes"):
        run_tiny(
            tmp_path, on="local:2", model=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        )


# --- processes that die -----------------------------------------------------------------------------------------


@pytest.fixture
def started() -> Iterator[list[Shared]]:
    runs: list[Shared] = []
    yield runs
    for each in runs:
        each.process.kill()
        each.process.communicate()


def all_gone(pids: list[int]) -> bool:
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(
    tmp_path: Path, started: list[Shared], whole: dict[str, bytes]
) -> None:
    started.append(shared := Shared(tmp_path, "small", "on=local:2"))
    for cells in (3, 15, 30):
        shared.trained(cells)
        os.kill(shared.workers()[0], signal.SIGKILL)
    code, said = shared.ended()
    assert code == 0, said
    assert contents(shared.run.path) == whole
    assert no_leftovers(shared.run.path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_when_the_run_is_stopped_its_workers_stop_and_it_can_be_taken_up_again(
    number: signal.Signals, tmp_path: Path, started: list[Shared], whole: dict[str, bytes]
) -> None:
    started.append(shared := Shared(tmp_path, "small", "on=local:2"))
    shared.trained(5)
    workers = shared.workers()
    shared.process.send_signal(number)
    assert shared.ended()[0] != 0
    assert all_gone(workers)
    assert len(shared.run.cells()) < len(SMALL.cells())
    assert contents(run_tiny(tmp_path, SMALL, engine="modules").path) == whole
    assert no_leftovers(shared.run.path)


@pytest.mark.slow
def test_workers_that_are_started_by_hand_share_a_run_and_take_over_from_one_that_died(
    tmp_path: Path, started: list[Shared], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started += [
        shards := Shared(tmp_path, "small", "shard=1/3"),
        Shared(tmp_path, "small", "shard=2/3"),
        Shared(tmp_path, "small", "shard=3/3"),
    ]
    shards.trained(8)
    monkeypatch.setattr("tombola.runs.folder.LEAVING", 0.0)
    with pytest.raises(UserError, match="workers are at this study"):
        run_tiny(tmp_path, SMALL, engine="modules")
    assert shards.run.headway().state == "running"
    started[1].process.kill()
    assert [each.ended()[0] for each in started] == [0, -signal.SIGKILL, 0]
    assert contents(shards.run.path) == whole
    assert no_leftovers(shards.run.path)
    assert shards.run.headway().state == "finished"


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_the_run(tmp_path: Path) -> None:
    with (
        pytest.warns(Notice, match="a worker was lost"),
        pytest.raises(UserError, match="4 workers were lost"),
    ):
        run_tiny(tmp_path, on="local:1", model=Deadly())


class Deadly:
    """A network that ends the process that builds it, unless that is this one."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __call__(self) -> Any:
        if os.getpid() != self.home:
            os._exit(9)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_workers_load_code_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the user named, so that it runs in processes that have never seen it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3))\n"
    )
    study = tiny(model={"name": f"{mine}:net"}, levels=1, arms=[])
    one = run_tiny(tmp_path / "one", study)
    several = run_tiny(tmp_path / "several", study, on="local:1")
    assert contents(several.path) == contents(one.path)
