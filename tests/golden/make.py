"""Makes the golden runs: `python tests/golden/make.py`, from the commit whose cells later ones must repeat.

Each is stored short of its last level in NAME.tar.xz; NAME.json holds the digests of all files that a run promises
(DESIGN, Store) once the last level is there, and its results.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

import tombola

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

COMMON = ["iterations=120", "evaluate_every=20", "curve_every=40"]
CROSSED = 'criterion=["large-final","magnitude-increase"]'
QUICK = str(HERE / "quick.toml")
"""The preset quick as it was then."""
RUNS = {
    "quick": (QUICK, ["name=quick", "model.name=lenet-60-30", "replicates=2", *COMMON], 3),
    "sweep": (
        QUICK,
        ["name=sweep", "model.name=lenet-40-20", "replicates=1", "validation=100", *COMMON, CROSSED],
        2,
    ),
    "conv": (str(HERE / "conv.toml"), [], 2),
}
"""Name -> study, settings, levels."""
HELD = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
)
FREE = ("timing.json", "environment.json", "hypotheses.json", "study.toml", "sweep.toml", ".lock")
"""Files that hold times, machines or options, which may grow."""


def promised(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of a run, or of a sweep's runs, that equal runs share."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in FREE and "report" not in path.relative_to(folder).parts
    }


def kind_of_machine() -> str:
    """A digest of what decides how sums are rounded: processor, what it is held down to, and who computes."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().partition("\n\n")[0].splitlines() if cpu.exists() else [platform.processor()]
    told = ("model name", "cpu family", "model\t", "stepping", "flags", "cache size")
    facts = [line for line in lines if line.startswith(told)] + [
        f"{name}={os.environ.get(name)}" for name in HELD
    ]
    facts += [f"{name} {version(name)}" for name in ("torch", "numpy", "numba", "llvmlite", "scipy")]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def main() -> None:
    """Make them all."""
    for name, (what, settings, levels) in RUNS.items():
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "runs"
            tombola.run(what, out=out, settings=[*settings, f"levels={levels - 1}"], threads=1)
            stored = Path(place) / "stored"
            shutil.copytree(out, stored, ignore=shutil.ignore_patterns("report", ".lock"))
            tombola.run(what, out=out, settings=[*settings, f"levels={levels}"], threads=1)
            with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as archive:
                archive.add(stored, "runs", filter=anonymous)
            found = {"machine": kind_of_machine(), "files": promised(out), "results": results(out)}
            text = json.dumps(found, indent=0, sort_keys=True)
            (HERE / f"{name}.json").write_text(text + "\n")


def results(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Run folder -> its rows."""
    return {
        path.parent.name: pl.read_parquet(path).to_dicts() for path in sorted(out.rglob("results.parquet"))
    }


def anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner or time."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info


if __name__ == "__main__":
    main()
