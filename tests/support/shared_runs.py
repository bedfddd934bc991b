"""Studies of small units that several processes share: `python shared_runs.py OUT NAME KEY=VALUE...` runs the one of
a name with these options of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.study_kit import run_tiny, tiny
from tombola.runs.folder import Run

SMALL = tiny(
    replicates=4,
    levels=3,
    arms=[
        {"name": "reinit"},
        {"name": "random-mask"},
        {"name": "fresh"},
        {"name": "donor", "levels": [2, 3]},
    ],
    data={"split": "study"},
    donors=2,
    recipe={"iterations": 400, "evaluate_every": 20, "curve_every": 200},
)
"""68 trainings, 8 of them donors', each a unit on the engine `modules`."""
LARGE = tiny(
    replicates=10,
    levels=6,
    arms=[
        {"name": "reinit", "draws": 2},
        {"name": "random-mask", "draws": 3},
        {"name": "fresh"},
        {"name": "donor"},
    ],
    data={"split": "study"},
    donors=3,
    recipe={"iterations": 10, "evaluate_every": 5, "curve_every": 10},
)
"""511 trainings, 21 of them donors'."""
STUDIES = {"small": SMALL, "large": LARGE}
TESTS = str(Path(__file__).parents[1])
STRICT = ["-W", "error", "-W", "ignore::tombola.errors.Notice"]


class Shared:
    """A run of a study in processes of its own."""

    def __init__(self, out: Path, name: str, *options: str, strict: bool = True) -> None:
        """`strict`: warnings end it."""
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, *(STRICT if strict else ()), __file__, str(out), name, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])},
        )

    @property
    def run(self) -> Run:
        (path,) = self.out.iterdir()
        return Run(path)

    def trained(self, cells: int) -> None:
        """Wait until so many cells are stored."""
        self._until(lambda: any(self.out.glob("*")) and len(self.run.cells()) >= cells)

    def workers(self) -> list[int]:
        """The processes at work, but for the one that was started here."""
        said = [json.loads(path.read_text()) for path in self.run.path.glob(".work/*.beat")]
        pids = [each["pid"] for each in said if each["pid"] != self.process.pid]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it said, once it is over."""
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out + err

    def _until(self, true: Callable[[], bool]) -> None:
        for _ in range(3000):
            if true():
                return
            assert self.process.poll() is None, self.ended()
            time.sleep(0.05)
        raise AssertionError("nothing happens")


def main(out: Path, name: str, given: list[str]) -> None:
    options = dict(each.split("=", 1) for each in given)
    run_tiny(out, STUDIES[name], engine="modules", **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
