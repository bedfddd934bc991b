"""CIFAR's python batches: pickles with a row of 3,072 bytes for each 3x32x32 image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tombola.data.dataset import Dataset
from tombola.data.plain_pickle import Stored, read_plain
from tombola.errors import UserError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


def read_cifar(name: str, paths: Sequence[Path], label_key: str, classes: int) -> Dataset:
    """The data set in batches of which the last is the test set and the others, in order, the training set.

    label_key: `labels` (CIFAR-10) or `fine_labels` (CIFAR-100). Raises UserError that names the broken batch.
    """
    batches = [read_batch(path, label_key, classes) for path in paths]
    images = [torch.from_numpy(x) for x, _ in batches]
    labels = [torch.from_numpy(y) for _, y in batches]
    return Dataset(name, torch.cat(images[:-1]), torch.cat(labels[:-1]), images[-1], labels[-1], classes)


def read_batch(
    path: Path, label_key: str, classes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of one batch.

    Raises UserError when it cannot be unpickled safely, lacks a key, or rows, shape or labels are wrong.
    """
    batch = _unpickle(path)
    data = _entry(path, batch, "data")
    labels = _labels(path, label_key, _entry(path, batch, label_key))
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != PIXELS
    ):
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise UserError(f"{path}: 'data' is {found}; expected uint8 [n, {PIXELS}]")
    if len(data) == 0 or labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(data):
        raise UserError(
            f"{path}: '{label_key}' is {labels.dtype} {list(labels.shape)} for {len(data)} images; "
            "expected one whole number an image, and at least one image"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise UserError(
            f"{path}: '{label_key}' has label {labels[bad[0]]} in row {bad[0]}; expected 0 to {classes - 1}"
        )
    return data.reshape(-1, *SHAPE).copy(), labels.astype(np.int64)


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        batch = read_plain(path.read_bytes())
    except MemoryError:
        raise UserError(f"{path}: not a CIFAR python batch that fits in memory") from None
    except (OSError, ValueError, UnpicklingError) as problem:
        raise UserError(f"{path}: not a readable CIFAR python batch ({problem})") from None
    if not isinstance(batch, dict):
        raise UserError(
            f"{path}: a {type(batch).__name__} found; expected a CIFAR python batch, which is a dict"
        )
    return {key.decode("latin1") if isinstance(key, bytes) else key: _plain(batch[key]) for key in batch}


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, Stored) else value


def _labels(path: Path, key: str, labels: Any) -> npt.NDArray[Any]:
    if isinstance(labels, np.ndarray):
        return labels
    if not isinstance(labels, list):
        raise UserError(f"{path}: '{key}' is {type(labels).__name__}; expected a list of whole numbers")
    for row, label in enumerate(labels):
        # A label beyond 64 bits has no place in an array; one of 256 classes or more is named below.
        if type(label) is not int or abs(label) >> 62:
            raise UserError(f"{path}: '{key}' is not a list of whole numbers (row {row})")
    return np.array(labels, np.int64)


def _entry(path: Path, batch: dict[str, Any], key: str) -> Any:
    if key not in batch:
        raise UserError(f"{path}: no '{key}' in this batch; it has {', '.join(sorted(batch)) or 'nothing'}")
    return batch[key]
