"""The device that a run computes on: torch set up so that it repeats, and what the processor does with bfloat16."""

from __future__ import annotations

import platform
from functools import cache

import torch

from tombola.errors import UserError, nearest, notice
from tombola.training.recipe import Recipe

MULTIPLIES = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16")
"""What torch calls the instructions of x86 and ARM that multiply in bfloat16."""


def pick_device(name: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`. Raises UserError when it is not there."""
    name = str(name)  # or a torch.device
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
