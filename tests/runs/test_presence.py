"""Workers of a run folder: who is there, who holds a lease, and who takes over from whom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tombola.runs import presence
from tombola.runs.presence import WORK, Others, Presence, anyone_at_work, machine


def beat_of(folder: Path, name: str, pid: int, where: str = "elsewhere") -> Path:
    """A worker that this process is not."""
    path = folder / WORK / f"{name}.beat"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": where, "pid": pid}))
    return path


def dead() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_that_ended_is_dead_before_its_parent_has_looked(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat_of(tmp_path, "one", process.pid, machine())
    assert anyone_at_work(tmp_path)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not anyone_at_work(tmp_path)
    process.communicate()


def test_a_lease_is_one_workers_until_it_gives_it_back(tmp_path: Path) -> None:
    with Presence(tmp_path) as one, Presence(tmp_path) as two:
        assert one.take("unit")
        assert not two.take("unit")
        assert not one.take("unit"), "nor does a worker take what it has"
        two.release("unit")
        assert not two.take("unit"), "nobody gives back what is another's"
        one.release("unit")
        assert two.take("unit")
        assert two.take("another")


def test_who_leaves_last_leaves_nothing(tmp_path: Path) -> None:
    with Presence(tmp_path) as one:
        assert anyone_at_work(tmp_path)
        with Presence(tmp_path) as two:
            assert one.others.names() == sorted([one.name, two.name])
        assert one.others.names() == [one.name]
        assert anyone_at_work(tmp_path)
    assert not (tmp_path / WORK).exists()
    assert not anyone_at_work(tmp_path)


def test_a_worker_whose_process_died_on_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    beat_of(tmp_path, "gone", dead(), machine())
    assert not anyone_at_work(tmp_path)
    (tmp_path / WORK / "unit.lease").write_text("gone")
    with Presence(tmp_path) as worker:
        assert worker.take("unit")
    assert not (tmp_path / WORK).exists(), "nor does it count as one that stays"


def test_a_worker_elsewhere_is_dead_when_it_did_not_beat_while_one_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(presence.time, "monotonic", lambda: now)
    beat = beat_of(tmp_path, "far", dead())
    (tmp_path / WORK / "unit.lease").write_text("far")
    os.utime(beat, (0, 0))  # whatever the clock there says
    with Presence(tmp_path, patience=60) as worker:
        assert not worker.take("unit")
        now = 1059.0
        assert not worker.take("unit")
        os.utime(beat, (7, 7))
        now = 1061.0
        assert not worker.take("unit"), "it was seen to beat"
        now = 1120.0
        assert not worker.take("unit")
        now = 1121.5
        assert worker.take("unit")
        assert (tmp_path / WORK / "unit.lease").read_text() == worker.name
        assert [path.name for path in (tmp_path / WORK).glob(".*")] == []


def test_a_lease_that_was_never_signed_is_judged_by_its_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(presence.time, "monotonic", lambda: now)
    with Presence(tmp_path, patience=60) as worker:
        (tmp_path / WORK / "unit.lease").touch()
        assert not worker.take("unit")
        now = 61.0
        assert worker.take("unit")


def test_of_two_who_break_a_lease_the_second_does_not_take_it_from_the_first(tmp_path: Path) -> None:
    beat_of(tmp_path, "gone", dead(), machine())
    lease = tmp_path / WORK / "unit.lease"
    lease.write_text("gone")
    with Presence(tmp_path) as one, Presence(tmp_path) as two:
        read, real = [], Others.hold

        def hold(self: Others, path: Path, holder: str) -> bool:
            read.append(holder)
            if self is two.others and holder == "gone":
                assert one.take("unit")  # just after the second one has read who had it
            return real(self, path, holder)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Others, "hold", hold)
            assert not two.take("unit")
        assert read == ["gone", "gone"]
        assert lease.read_text() == one.name


def test_who_takes_one_look_goes_by_the_clock(tmp_path: Path) -> None:
    beat = beat_of(tmp_path, "far", dead())
    assert anyone_at_work(tmp_path)
    os.utime(beat, (0, 0))
    assert not anyone_at_work(tmp_path)


def test_a_worker_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "BEAT", 0.01)
    with Presence(tmp_path) as worker:
        beat = tmp_path / WORK / f"{worker.name}.beat"
        os.utime(beat, (0, 0))
        for _ in range(1000):
            if beat.stat().st_mtime > 0:
                return
            worker._end.wait(0.01)
    raise AssertionError("it did not")
