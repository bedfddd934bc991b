"""Runs the tests as on an older processor: `python tests/held_down.py LEVEL [PYTEST ARGUMENTS]`, LEVEL being avx2 or
default (neither AVX nor fused multiply-add).

Every library that chooses its code by the processor is told to leave the newer instructions alone: sums come in other
orders and widths, as they do there. What it sets is the environment, so the processes that tests start are held down as
well. Intel's MKL has code of its own for other makers' processors, which only the level `default` changes.
"""

from __future__ import annotations

import os
import sys

import numpy as np

LEVELS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NUMBA_CPU_NAME": "x86-64-v3",
    },
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "x86-64-v2",
    },
}


def environment(level: str) -> dict[str, str]:
    """The variables that hold this process's children down to a level."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    newer = [name for name in found if level == "default" or name.startswith("AVX512") or name == "X86_V4"]
    return LEVELS[level] | {
        # numba adds the features of the host to the name, unless it is given others, be they none.
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": os.path.abspath(f".pytest_cache/numba-{level}"),
        "NPY_DISABLE_CPU_FEATURES": " ".join(newer),
    }


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in LEVELS:
        sys.exit(__doc__)
    _, level, *arguments = sys.argv
    command = [sys.executable, "-m", "pytest", *arguments]
    os.execve(sys.executable, command, os.environ | environment(level))
