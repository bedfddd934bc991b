"""Arrays in .npz files: data sets, and matrices that hold masks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, save_npz

from fuzz.target import Target
from tombola.comparison.importers import subject_from_file
from tombola.data.arrays import read_npz
from tombola.errors import UserError


def read(path: Path) -> None:
    """Read it as either."""
    try:
        read_npz("fuzz", path)
    except UserError:
        subject_from_file(path.parent)


def seeds() -> list[bytes]:
    """A data set, packed or not, and a matrix."""
    x, y = np.ones((3, 2), np.float32), np.array([0, 1, 0])
    found = []
    for save in (np.savez, np.savez_compressed):
        save(file := io.BytesIO(), x_train=x, y_train=y, x_test=x, y_test=y)
        found.append(file.getvalue())
    save_npz(file := io.BytesIO(), csr_matrix(np.eye(3, 2)))
    return [*found, file.getvalue()]


TARGET = Target(read, seeds, "0.npz")
