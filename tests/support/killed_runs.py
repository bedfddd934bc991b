"""Runs that die by SIGKILL, for test_interrupt.py: `python killed_runs.py FOLDER DEATH...`.

Each DEATH is one run of the same study in a process of its own, forked so that torch is imported once: `op:N` dies
at the N-th operation on a file (in the middle of it, where it is a write), `time:S` after S seconds, `never` not at
all. Prints one line a run: how it ended.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from functools import partial
from typing import Any

from support.study_kit import run_tiny, tiny
from tombola.runs import stacks
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines.base import ENGINES

STUDY = tiny(recipe={"iterations": 30, "evaluate_every": 3, "curve_every": 6}, pruning={"rewind": 6})


def die_at(operation: int) -> None:
    """Have this process die at its n-th change of the disk: opening a file, renaming, removing, making a folder."""
    left = operation

    def due() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def before(real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if due():
                die()
            return real(*args, **options)

        return call

    for name in ("replace", "unlink", "mkdir"):
        setattr(pathlib.Path, name, before(getattr(pathlib.Path, name)))
    os.fsync = before(os.fsync)

    real_open: Any = pathlib.Path.open

    def half_written(self: pathlib.Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = real_open(self, mode, *args, **options)
        if "w" not in mode or not due():
            return file
        whole = file.write

        class Half:
            def __enter__(self) -> Half:
                return self

            def __exit__(self, *problem: object) -> None:
                die()

            def write(self, data: bytes) -> None:
                whole(data[: len(data) // 2])
                file.flush()
                die()

        return Half()

    pathlib.Path.open = half_written  # type: ignore[method-assign, assignment]


def main(out: pathlib.Path, deaths: list[str]) -> None:
    """Run the study once for each death."""
    list(ENGINES)  # imported once, as torch is
    for death in deaths:
        death, _, place = death.partition("@")
        kind, _, when = death.partition(":")
        child = os.fork()
        if child == 0:
            stacks.Checkpoint = partial(Checkpoint, seconds=0.0)  # type: ignore[misc, assignment]
            if kind == "op":
                die_at(int(when))
            run_tiny(out / place, STUDY)
            os._exit(0)
        if kind == "time":
            time.sleep(float(when))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
