"""What is said before a processor trains in a precision that it has to emulate."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from support.training_parts import CPU, kind, recipe, start
from tombola.errors import Notice
from tombola.training import device
from tombola.training.device import bfloat16_is_native
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe

HALF = Recipe(precision="bfloat16")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Makes this processor one with or without bfloat16, in a process that has said nothing yet."""
    device._say.cache_clear()
    yield lambda native: monkeypatch.setattr(device, "bfloat16_is_native", lambda: native)
    device._say.cache_clear()


@pytest.mark.filterwarnings("error")
def test_only_a_cpu_that_emulates_is_told_and_once(
    processor: Callable[[bool], None], recwarn: pytest.WarningsRecorder
) -> None:
    processor(True)
    device.say_if_emulated(HALF, CPU)
    processor(False)
    device.say_if_emulated(Recipe(), CPU)
    device.say_if_emulated(HALF, torch.device("cuda"))
    sentence = "bfloat16 is emulated on this processor, which makes training slower than float32"
    with pytest.warns(Notice, match=sentence):
        device.say_if_emulated(HALF, CPU)
    device.say_if_emulated(HALF, CPU)
    assert not recwarn.list


def test_it_is_said_before_the_first_step(
    processor: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(False)
    events: list[str | int] = []
    monkeypatch.setattr(device, "notice", events.append)
    arch, data, engine = kind("mlp")
    for _ in range(2):
        chosen = recipe(precision="bfloat16", iterations=1)
        train_stack(arch, [start(arch)], data, chosen, 5, engine=engine, progress=events.append)
    assert events[1:] == [0, 1, 0, 1]
    assert "bfloat16" in str(events[0])


@pytest.mark.parametrize(
    ("known", "allowed", "native"),
    [
        ({"avx512_bf16": True}, True, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True, True),
        ({"bf16": True, "architecture": "aarch64"}, True, True),
        ({"avx512_bw": True, "avx512_bf16": False}, True, False),  # oneDNN says yes to it, and emulates
        ({"avx512_bf16": True}, False, False),  # held down
    ],
)
def test_the_processor_must_multiply_and_onednn_must_let_it(
    known: dict[str, bool], allowed: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr(device, "_allowed", lambda: allowed)
    assert bfloat16_is_native() == native


@pytest.mark.parametrize(
    ("machine", "avx512", "amx", "native"),
    [
        ("x86_64", True, False, True),
        ("AMD64", False, True, True),
        ("x86_64", False, False, False),
        ("arm64", False, False, True),
    ],
)
def test_a_torch_that_lists_no_capabilities(
    machine: str, avx512: bool, amx: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(device, "_allowed", lambda: True)
    assert bfloat16_is_native() == native


def test_without_onednn_it_is_not_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not bfloat16_is_native()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are those of x86")
def test_a_processor_held_down_to_avx2_emulates() -> None:
    held = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    ask = "from tombola.training.device import bfloat16_is_native; print(bfloat16_is_native())"
    said = subprocess.run([sys.executable, "-c", ask], env=held, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
