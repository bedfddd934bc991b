"""The machine a study runs on: its device, its threads, and what to note down of it."""

from __future__ import annotations

import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tombola.errors import UserError, nearest
from tombola.training import seconds_compiling


def pick_device(name: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`. Raises UserError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kinds = ("auto", "cpu", "cuda")
    kind, _, index = name.partition(":")
    if kind not in kinds or (index and not index.isdigit()):
        raise UserError(f"unknown device '{name}'{nearest(kind, kinds)}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"device '{name}' is not here: torch finds {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)


def prepare(threads: int | None = None) -> None:
    """Set up torch for runs that repeat: thread count, and subnormal numbers flushed to zero.

    Momenta of silent units decay into subnormals, which a CPU computes many times slower. Called before the
    first parallel operation, since worker threads inherit the setting when they start. Raises UserError for
    less than one thread.
    """
    if threads is not None and threads < 1:
        raise UserError(f"threads is {threads}, expected 1 or more")
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)


def training_clock() -> float:
    """Seconds of a clock that stands still while an engine is compiled, which happens once on a machine."""
    return time.monotonic() - seconds_compiling()


def describe_machine() -> dict[str, Any]:
    """Versions and hardware: what a reader needs to repeat the run, and no path or host name."""
    packages = ("tombola", "torch", "numpy", "polars", "safetensors")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "system": platform.system(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that Tombola runs from, if it is one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
