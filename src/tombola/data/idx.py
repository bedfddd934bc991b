"""IDX files: the format of MNIST and its relatives, plain or gzipped.

A file is a magic number (two zero bytes, the type of the numbers, the count of dimensions), the dimensions
as big-endian 32-bit integers, and the numbers.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tombola.data.dataset import Dataset, classes_of
from tombola.data.locate import Place, idx_files
from tombola.errors import UserError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
PIECE = 1 << 24
"""Bytes that are read at once."""
IMAGE_RANKS = (3, 4, 2)  # grey images, images with channels, flat features; most usual first


def read_idx(path: Path, ranks: Collection[int]) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes with one of these numbers of dimensions.

    Whether it is gzipped is read from its contents, not its name. Raises UserError that names the file, what
    was found and what was expected when it is unreadable, cut off, too long or another kind of file.
    """
    try:
        with _opened(path) as file:
            shape = _shape(path, file, ranks)
            return _numbers(path, file, shape)
    except EOFError:
        raise UserError(f"{path}: the gzip data is truncated; expected a whole file") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit in memory") from None
    except (OSError, zlib.error) as problem:
        raise UserError(
            f"{path}: cannot be read ({problem}); expected an IDX file, plain or gzipped"
        ) from None


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The file, unpacked as it is read where it is gzipped: no more of it than is asked for."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if zipped:
            with gzip.open(raw) as file:
                yield file
        else:
            yield raw


def _shape(path: Path, file: BufferedIOBase, ranks: Collection[int]) -> tuple[int, ...]:
    """The dimensions that the header says."""
    wanted = " or ".join(f"0x{UNSIGNED_BYTE << 8 | rank:08x}" for rank in ranks)
    first = file.read(4)
    if len(first) < 4:
        raise UserError(
            f"{path}: {len(first)} bytes, too short for an IDX file; expected magic number {wanted}"
        )
    magic = int.from_bytes(first, "big")
    rank = magic & 0xFF
    if magic >> 8 != UNSIGNED_BYTE or rank not in ranks:
        raise UserError(f"{path}: magic number 0x{magic:08x}{_meaning(magic)} found; expected {wanted}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise UserError(
            f"{path}: {4 + len(sizes)} bytes, cut off in the header; expected {4 + 4 * rank} bytes of it"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    if math.prod(shape) == 0:
        raise UserError(
            f"{path}: the header says {' x '.join(map(str, shape))}; expected at least one of each"
        )
    return shape


def _numbers(path: Path, file: BufferedIOBase, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """What follows the header: as many bytes as it promises, read in pieces, so that a promise of terabytes takes no
    more memory than there are bytes."""
    expected, pieces, size = math.prod(shape), [], 0
    while size <= expected and (piece := file.read(min(PIECE, expected + 1 - size))):
        pieces.append(piece)
        size += len(piece)
    if size != expected:
        sizes = " x ".join(map(str, shape))
        found = f"more than {expected}" if size > expected else f"{size}"
        raise UserError(
            f"{path}: {found} bytes after the header; expected {sizes} = {expected} "
            f"({'truncated' if size < expected else 'too long'})"
        )
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(shape)


def read_idx_dataset(
    name: str, paths: Sequence[Path], classes: int | None = None, shape: tuple[int, ...] | None = None
) -> Dataset:
    """The data set in four IDX files: training images, training labels, test images, test labels.

    classes, shape: what a known data set must have; None takes them from the files, and then every class from
    0 to the largest label must occur among the training labels. Raises UserError that names the file.
    """
    train_images, train_labels, test_images, test_labels = paths
    train_x, train_y = _read_part(train_images, train_labels)
    test_x, test_y = _read_part(test_images, test_labels)
    for path, x in ((train_images, train_x), (test_images, test_x)):
        expected = shape or tuple(train_x.shape[1:])
        if tuple(x.shape[1:]) != expected:
            raise UserError(f"{path}: images of shape {list(x.shape[1:])} found; expected {list(expected)}")
    if classes is None:
        classes = classes_of(train_y, str(train_labels))
    for path, y in ((train_labels, train_y), (test_labels, test_y)):
        if int(y.max()) >= classes:
            row = int((y >= classes).nonzero()[0])
            raise UserError(f"{path}: label {int(y[row])} of row {row} found; expected 0 to {classes - 1}")
    return Dataset(name, train_x, train_y, test_x, test_y, classes)


def read_idx_folder(name: str, folder: Path) -> Dataset:
    """The data set in any folder (or its subfolder `raw`) with the four IDX files under their usual names."""
    place = Place(name, (".", "raw"), idx_files(IMAGE_RANKS), fetchable=False)
    return read_idx_dataset(name, place.find(folder))


def _read_part(images: Path, labels: Path) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = read_idx(images, IMAGE_RANKS), read_idx(labels, (1,))
    if len(x) != len(y):
        raise UserError(
            f"{labels}: {len(y)} labels found; expected {len(x)}, one for each image of {images.name}"
        )
    if x.ndim == 3:
        x = x[:, np.newaxis]
    return torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64))


def _meaning(magic: int) -> str:
    if magic >> 8 == UNSIGNED_BYTE:
        return " (labels)" if magic & 0xFF == 1 else f" ({magic & 0xFF} dimensions)"
    return " (numbers that are not unsigned bytes)" if magic >> 16 == 0 else " (not an IDX file)"
