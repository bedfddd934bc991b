"""Named random streams: every random number in Tombola comes from one, and a name is all it takes to find it.

A stream is a numpy Philox generator keyed by 128 bits of SHA-256 over a path of names. Torch only sees
the arrays a stream makes, so a GPU, a CPU, a stack and a lone network get the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

Name = str | int

NOISE = ("order", "augment", "dropout")
"""The purposes that make up the noise of training: all that is drawn while a network trains, and nothing before."""


def key(*path: Name) -> int:
    """128 bits that stand for a path of names. `("a", "b")` and `("ab",)` differ, as do `1` and `"1"`."""
    digest = hashlib.sha256(json.dumps(path, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:16], "little")


def stream(*path: Name) -> np.random.Generator:
    """The generator of a path; calling twice gives two generators that draw the same numbers."""
    return np.random.Generator(np.random.Philox(key=key(*path)))


@dataclass(frozen=True)
class Seeds:
    """The streams below one root: `Seeds.replicate(seed, r)` in a study, `Seeds.single(seed)` for one network.

    Replicate r does not depend on how many replicates run, and 0 is a seed like any other.
    """

    root: tuple[Name, ...]
    copy: int = 0
    """Copies of one training have other noise, and all other streams in common; 0 is the training itself."""
    study: tuple[Name, ...] = ()
    """Where the split into training and validation examples is drawn that all replicates share; empty: each draws its
    own."""

    @classmethod
    def replicate(cls, seed: int, r: int, *, shared_split: bool = False) -> Seeds:
        """The root of replicate r of a study; with `shared_split` all replicates validate on the same examples."""
        return cls((seed, "replicate", r), study=(seed,) if shared_split else ())

    @classmethod
    def single(cls, seed: int) -> Seeds:
        """The seed itself as root (`tombola train --seed S`)."""
        return cls((seed,))

    def stream(self, purpose: str, *path: Name) -> np.random.Generator:
        """The generator of one purpose, e.g. `stream("order", level, epoch)`."""
        return stream(*self._place(purpose), *path)

    def key(self, purpose: str, *path: Name) -> int:
        """63 bits of the purpose's key: what a counter-based generator on a device starts from."""
        return key(*self._place(purpose), *path) >> 65

    @property
    def path(self) -> tuple[Name, ...]:
        """The names that these streams lie below."""
        return (*self.root, "copy", self.copy) if self.copy else self.root

    def _place(self, purpose: str) -> tuple[Name, ...]:
        if purpose == "split" and self.study:
            return (*self.study, purpose)
        return (*(self.path if purpose in NOISE else self.root), purpose)
