"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TINY = """
name = "tiny"
title = "A tiny study"
replicates = 2
levels = 2
[model]
name = "lenet-12-8"
[data]
name = "digits"
[recipe]
iterations = 40
evaluate_every = 10
curve_every = 20
[[arms]]
name = "reinit"
[[arms]]
name = "random-mask"
"""


@dataclass(frozen=True)
class Said:
    """What a command printed and its exit code."""

    out: str
    err: str
    code: int


Tombola = Callable[..., Said]
