"""Tiny data files as the publishers of the real ones write them, and nothing else."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np

IDX_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def idx_bytes(array: np.ndarray) -> bytes:
    """The bytes of an IDX file, written out from the format's definition."""
    return (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def write_idx(
    folder: Path, arrays: tuple[np.ndarray, ...], zipped: bool = True, separator: str = "-"
) -> list[Path]:
    """The four files of an IDX data set: training images, training labels, test images, test labels."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        path = folder / f"{name}{separator}idx{array.ndim}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(idx_bytes(array), mtime=0) if zipped else idx_bytes(array))
        paths.append(path)
    return paths


def small_mnist(n_train: int = 20, n_test: int = 10) -> tuple[np.ndarray, ...]:
    """28x28 images with the labels 0..9 in turn."""
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (n_train, 28, 28), dtype=np.uint8),
        np.arange(n_train, dtype=np.uint8) % 10,
        rng.integers(0, 256, (n_test, 28, 28), dtype=np.uint8),
        np.arange(n_test, dtype=np.uint8) % 10,
    )


def cifar_batch(n: int = 4, key: str = "labels", seed: int = 0, **replaced: Any) -> dict[Any, Any]:
    """The dict of a batch; `replaced` overwrites entries of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)
    return {"data": pixels, key: [k % 10 for k in range(n)]} | replaced


def write_cifar10(folder: Path, protocol: int = 2) -> list[Path]:
    """Six batches of four images each, with the seeds 0..5."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")]
    for seed, path in enumerate(paths):
        path.write_bytes(pickle.dumps(cifar_batch(seed=seed), protocol=protocol))
    return paths
