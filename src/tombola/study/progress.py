"""Who watches a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tombola.lottery import Cell, Drawn


class Progress(Protocol):
    """Somebody who watches a run. Units are network-iterations: one optimizer step of one network."""

    def begin(self, total: int, done: int) -> None: ...

    def advance(self, steps: int, cells: Sequence[Cell]) -> None: ...

    def landed(self, drawn: Sequence[Drawn]) -> None: ...


class Silent:
    """Nobody watches."""

    def begin(self, total: int, done: int) -> None:
        pass

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        pass

    def landed(self, drawn: Sequence[Drawn]) -> None:
        pass
