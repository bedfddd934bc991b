"""Kernels are as wide as the processor that is compiled for, and code of one width is not taken for another's."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tombola.training.engines.compiled import sparse_kernels

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="is about x86 processors"
)

TARGETS = {
    ("x86-64", ""): False,
    ("x86-64-v3", ""): False,
    ("znver3", ""): False,
    ("x86-64-v4", ""): True,
    ("skylake-avx512", ""): True,
    ("x86-64-v3", "+avx512f"): True,
    ("x86-64-v4", "-avx512f"): False,
}


def test_the_width_is_that_of_name_and_features() -> None:
    found = {target: sparse_kernels.wide("x86_64-unknown-linux-gnu", *target) for target in TARGETS}
    assert found == TARGETS


COMPILE = """
import sys

sys.path.append(sys.argv[1])
import sparse_kernels as kernels  # by itself: the rest takes longer to import and is not asked for

signature = "void(f4[::1], i8, i8, i8, f4[::1], i8, i8, i8, f4[::1], i8, i8, i8, i8)"
kernels.multiply.compile(signature)
if kernels.multiply.stats.cache_hits:
    print("from the cache")
else:
    [code] = kernels.multiply.inspect_asm().values()
    print(kernels.SEGMENT, kernels.COLUMNS, "zmm" in code)
"""


def compiled_for(cpu: str, cache: Path) -> str:
    """Segment, columns and whether the code of `multiply` has the widest registers, or that there was such code
    already; compiled, not run, since this processor may lack them."""
    target = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", COMPILE, str(Path(sparse_kernels.__file__).parent)]
    said = subprocess.run(command, env=os.environ | target, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


def test_code_kept_for_one_width_is_not_run_at_another(tmp_path: Path) -> None:
    """With one cache for both, as a home folder on several machines is."""
    assert compiled_for("x86-64-v4", tmp_path) == "64 64 True"
    assert compiled_for("x86-64-v3", tmp_path) == "32 16 False"
    assert compiled_for("x86-64-v4", tmp_path) == "from the cache"
