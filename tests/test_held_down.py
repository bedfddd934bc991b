"""Held down, every library computes as on the older processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from held_down import environment

ASK = """
import json
import numpy as np, torch
from tombola.training.engines.compiled import sparse_kernels

torch.nn.functional.conv2d(torch.ones(2, 3, 8, 8), torch.ones(5, 3, 3, 3))  # so that oneDNN says what it takes
simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
newer = [name for name in simd if "512" in name or "V4" in name]
print(json.dumps([torch.backends.cpu.get_cpu_capability(), newer, sparse_kernels.SEGMENT]))
"""
SAYS = {"avx2": ("AVX2", "Intel AVX2"), "default": ("DEFAULT", "Intel SSE4.1")}


@pytest.mark.slow
@pytest.mark.parametrize("level", SAYS)
def test_every_library_is_held_down(level: str) -> None:
    held = os.environ | environment(level) | {"ONEDNN_VERBOSE": "1"}
    said = subprocess.run([sys.executable, "-c", ASK], env=held, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    *notes, last = said.stdout.splitlines()
    aten, onednn = SAYS[level]
    assert json.loads(last) == [aten, [], 32]
    assert any(note.endswith(f"isa:{onednn}") for note in notes)
