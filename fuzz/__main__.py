"""Try readers of files, each for so many seconds, and say what was found: `python -m fuzz SECONDS [TARGET ...]`.

Inputs that are findings are left in build/fuzz. One that was mended goes to tests/faults, where it is a test.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from fuzz.targets import PLACES

FOUND = Path("build") / "fuzz"
PATHS = [".", "src", "tests", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def main(seconds: str, *names: str) -> int:
    """The exit code: 1 where something was found."""
    if importlib.util.find_spec("atheris") is None:
        print(
            "not fuzzed: atheris is not installed, which is for Linux and Python 3.11 to 3.13 (pip install atheris)"
        )
        return 0
    FOUND.mkdir(parents=True, exist_ok=True)
    total = 0
    for name in names or PLACES:
        total += tried(name, seconds)
    findings = sorted(FOUND.iterdir())
    print(f"{total:,} inputs, {len(findings)} findings", *findings, sep="\n  ", flush=True)
    return 1 if findings else 0


def tried(name: str, seconds: str) -> int:
    """Try one target in a process of its own, since a crash ends it. The number of inputs."""
    one_thread = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    environment = {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(PATHS)}
    command = [sys.executable, "-m", "fuzz.harness", name, str(FOUND), seconds]
    process = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace")
    done = [int(number) for number in re.findall(r"^#(\d+)", process.stderr, re.MULTILINE)]
    inputs = max(done, default=0)
    print(f"{name}: {inputs:,} inputs", flush=True)
    if process.returncode:
        (FOUND / f"{name}-ended").write_text(process.stderr)
    return inputs


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
