"""The device that a run computes on, and torch set up so that it repeats."""

from __future__ import annotations

import torch

from tombola.errors import UserError, nearest


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
