"""Checkpoints of a stack in mid-training: enough to go on to the same bits after the power went out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from tombola.errors import UserError
from tombola.files import digest_of, read_tensors, write_tensors
from tombola.seals import sealed, unsealed


@dataclass
class Checkpoint:
    """Where a stack's state is kept while it trains, and how often it is written.

    Batches and dropout are functions of the iteration, so tensors and the iteration are all there is to keep.
    A broken, damaged or foreign file is not an error: training then starts from the beginning, to the same bits.
    """

    path: Path
    seconds: float = 60.0
    _last: float = field(default_factory=time.monotonic, repr=False)

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._last >= self.seconds

    def write(self, iteration: int, tensors: dict[str, Tensor], key: str) -> None:
        """Keep the tensors as they are before step `iteration`; `key` says which stack they belong to."""
        write_tensors(self.path, tensors, sealed({"iteration": iteration, "key": key}, digest_of(tensors)))
        self._last = time.monotonic()

    def read(self, key: str) -> tuple[int, dict[str, Tensor]] | None:
        """Iteration and tensors of the last write of the stack `key`, or None."""
        if not self.path.exists():
            return None
        try:
            tensors, metadata = read_tensors(self.path)
            if not isinstance(metadata, dict) or metadata.get("key") != key:
                return None
            unsealed(self.path, metadata, digest_of(tensors))
        except UserError:
            return None
        return int(metadata["iteration"]), tensors

    def clear(self) -> None:
        """Forget it: the stack is done."""
        self.path.unlink(missing_ok=True)
