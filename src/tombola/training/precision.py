"""What the processor does with bfloat16: multiplies it, or emulates that, which takes longer than float32."""

from __future__ import annotations

import platform
from functools import cache

import torch

from tombola.errors import notice
from tombola.training.recipe import Recipe

MULTIPLIES = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16")
"""What torch calls the instructions of x86 and ARM that multiply in bfloat16."""


def bfloat16_is_native() -> bool:
    """Whether this processor multiplies in bfloat16, and oneDNN, which torch computes with on CPUs, lets it.

    oneDNN's word alone would not do: it says yes to any AVX-512 as well, where it emulates. Nor would the processor's:
    oneDNN may be held down (ONEDNN_MAX_CPU_ISA), or be missing.
    """
    return _allowed() and _multiplies()


def say_if_emulated(recipe: Recipe, device: torch.device) -> None:
    """Give a notice, once in a process, before a CPU trains in a precision that it has to emulate."""
    if recipe.precision == "bfloat16" and device.type == "cpu" and not bfloat16_is_native():
        _say()


@cache
def _say() -> None:
    notice(
        "bfloat16 is emulated on this processor, which makes training slower than float32, not faster "
        "(recipe.precision)"
    )


def _allowed() -> bool:
    """Whether oneDNN computes in bfloat16 here, as far as it is allowed to."""
    here = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return here and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _multiplies() -> bool:
    """Whether the processor has instructions for it. Older versions of torch are asked for two of x86's; elsewhere
    oneDNN has looked for itself."""
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return any(known.get(name, False) for name in MULTIPLIES)
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
