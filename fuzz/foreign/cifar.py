"""CIFAR's batches, as Python 2 and 3 pickle them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from fuzz.target import Target
from support.data_files import cifar_batch
from tombola.data.cifar import read_batch


def read(path: Path) -> None:
    """Read a batch."""
    read_batch(path, "labels", 10)


def seeds() -> list[bytes]:
    """A batch of one image, and a smaller array, in each protocol."""
    small = {"data": np.zeros((1, 4), np.uint8), "labels": [1], b"x": (1.5, "a", None, True)}
    return [pickle.dumps(each, protocol) for each in (cifar_batch(1), small) for protocol in range(6)]


TARGET = Target(read, seeds, "data_batch_1")
