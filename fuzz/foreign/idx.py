"""IDX files, images or labels, plain and gzipped."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from fuzz.target import Target
from support.data_files import idx_bytes
from tombola.data.idx import IMAGE_RANKS, read_idx

SHAPES = ((2, 3, 3), (2, 2, 3, 3), (3, 4), (5,))


def read(path: Path) -> None:
    """Read it as either."""
    read_idx(path, (*IMAGE_RANKS, 1))


def seeds() -> list[bytes]:
    """Each kind."""
    plain = [idx_bytes(np.ones(shape)) for shape in SHAPES]
    return [*plain, *(gzip.compress(data, mtime=0) for data in plain)]


TARGET = Target(read, seeds, "fuzz.idx")
