"""CIFAR's python batches: pickles with a row of 3,072 bytes for each 3x32x32 image."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tombola.data.dataset import Dataset
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
    labels = _entry(path, batch, label_key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise UserError(f"{path}: 'data' is {found}; expected uint8 [n, {PIXELS}]")
    try:
        labels = np.asarray(labels)
    except ValueError:
        raise UserError(f"{path}: '{label_key}' is not a list of numbers; expected one an image") from None
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


def _dtype(kind: str | bytes, align: int = 0, copy: int = 1) -> np.dtype[Any]:
    # Python 2 pickled the flags as integers, which numpy 2.4 warns about; only plain numbers are let in.
    made: np.dtype[Any] = np.dtype(
        kind.decode() if isinstance(kind, bytes) else kind, bool(align), bool(copy)
    )
    if made.kind not in "iub":
        raise pickle.UnpicklingError(f"it holds an array of type {made}")
    return made


def _reconstruct(*_: Any) -> npt.NDArray[np.uint8]:
    # What an array starts as, whatever the pickle says; its stored state sets type, shape and numbers.
    return np.empty(0, np.uint8)


def _frombuffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> npt.NDArray[Any]:
    # How numpy stores an array in protocol 5.
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str) -> bytes:
    # What Python 3 writes for bytes in the old protocols.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text encoded as {encoding}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct, which ignores it
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, texts, lists, dicts and numpy arrays; a pickle that asks for more is refused."""

    def find_class(self, module: str, name: str) -> Callable[..., Any] | None:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data") from None


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as problem:  # broken pickles raise almost anything
        raise UserError(f"{path}: not a readable CIFAR python batch ({problem})") from None
    if not isinstance(batch, dict):
        raise UserError(
            f"{path}: a {type(batch).__name__} found; expected a CIFAR python batch, which is a dict"
        )
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): batch[key] for key in batch}


def _entry(path: Path, batch: dict[str, Any], key: str) -> Any:
    if key not in batch:
        raise UserError(f"{path}: no '{key}' in this batch; it has {', '.join(sorted(batch)) or 'nothing'}")
    return batch[key]
