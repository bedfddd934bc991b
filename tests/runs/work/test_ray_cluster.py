"""Runs on a Ray cluster of several nodes, all of them on this machine, of which workers, nodes and the driver die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.shared_runs import LARGE, SMALL, Shared
from support.study_kit import Notes, contents, no_leftovers, run_tiny, tiny
from tombola.errors import UserError
from tombola.runs.folder import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # ray's own, and notices of workers that are lost
]
cluster_utils = pytest.importorskip(
    "ray.cluster_utils", reason="Ray is not there: pip install 'tombola[ray]'"
)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of three nodes with room for one task each."""
    found = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


def when(true: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something as soon as something is true, beside what the test does."""

    def wait() -> None:
        while not true():
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def stored(out: Path, cells: int) -> Callable[[], bool]:
    return lambda: any(out.glob("*")) and len(Run(next(out.iterdir())).cells()) >= cells


def test_a_study_of_five_hundred_cells_outlives_a_worker_and_a_node(tmp_path: Path, cluster: Any) -> None:
    whole = contents(run_tiny(tmp_path / "one", LARGE, engine="modules").path)
    out, notes, killed = tmp_path / "cluster", Notes(), list[int]()

    def kill_a_worker() -> None:
        """The one that holds the lease of a unit."""
        while not killed:
            for lease in next(out.iterdir()).glob(".work/*.lease"):
                try:
                    killed.append(int(lease.read_text().split("-")[-2]))
                    os.kill(killed[-1], signal.SIGKILL)
                    return
                except (OSError, ValueError, IndexError):
                    continue  # it was given back meanwhile

    def lose_a_node() -> None:
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    threads = [when(stored(out, 60), kill_a_worker), when(stored(out, 200), lose_a_node)]
    run = run_tiny(out, LARGE, engine="modules", on=f"ray:{cluster.address}", progress=notes)
    for thread in threads:
        thread.join(timeout=1)
        assert not thread.is_alive(), "the run was over before it happened"
    assert killed
    assert len(run.cells()) == 490
    assert contents(run.path) == whole
    assert no_leftovers(run.path)
    assert not (run.path / ".work").exists()
    assert notes.total == 10 * 511
    assert notes.total - 20 <= notes.advanced <= notes.total, (
        "of a worker that died, not all may have been told"
    )


def test_when_the_driver_dies_the_run_can_be_taken_up_anywhere(tmp_path: Path, cluster: Any) -> None:
    whole = contents(run_tiny(tmp_path / "one", SMALL, engine="modules").path)
    shared = Shared(tmp_path / "cluster", "small", f"on=ray:{cluster.address}", strict=False)
    shared.trained(10)
    shared.process.kill()
    shared.process.communicate()
    assert 10 <= len(shared.run.cells()) < len(SMALL.cells())
    again = Shared(tmp_path / "cluster", "small", f"on=ray:{cluster.address}", strict=False)
    again.trained(30)
    again.process.send_signal(signal.SIGINT)
    assert again.ended()[0] != 0
    assert len(again.run.cells()) < len(SMALL.cells())
    assert contents(run_tiny(tmp_path / "cluster", SMALL, engine="modules").path) == whole
    assert no_leftovers(again.run.path)


def test_what_a_task_raises_ends_the_run(tmp_path: Path, cluster: Any) -> None:
    run = run_tiny(tmp_path, tiny(levels=1), engine="modules")
    end = run.path / "cells/r0/L01/ticket/0/end.safetensors"
    data = bytearray(end.read_bytes())
    data[-1] ^= 1
    end.write_bytes(data)
    with pytest.raises(UserError, match=r"end\.safetensors: is damaged"):
        run_tiny(tmp_path, tiny(levels=2), engine="modules", on=f"ray:{cluster.address}")
