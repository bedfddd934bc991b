"""Arrays of numbers in .npz files of others: an array is made once its header is seen to promise what the file holds.

Nothing in such a file is believed before: no objects, no type but plain numbers, no size that is not there.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tombola.errors import UserError

PIECE = 1 << 24
"""Bytes that are read at once."""
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
NUMBERS, TEXTS = "biuf", "SU"
"""Kinds of numpy's types."""


def read_npz_members(
    path: Path, choose: Callable[[list[str]], Sequence[str]], kinds: str = NUMBERS
) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `choose` picks of the names in a file, of types of these kinds.

    Raises UserError that names the file, and what `choose` raises.
    """
    try:
        with path.open("rb") as file:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                raise UserError(f"{path}: a single array found; expected an .npz file")
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {name: _array(archive, members[name], kinds) for name in choose(list(members))}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected an .npz file") from None
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: does not fit in memory") from None
    except Exception as problem:  # broken archives and headers raise almost anything
        raise UserError(f"{path}: not a readable .npz file ({problem or type(problem).__name__})") from None


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> npt.NDArray[Any]:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"'{info.filename}' has a header of version {version}")
        shape, column_major, dtype = HEADERS[version](file)
        if dtype.kind not in kinds or dtype.subdtype:
            raise ValueError(f"'{info.filename}' is of type {dtype}, expected numbers")
        promised, there = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if promised != there or min(shape, default=0) < 0:
            sizes = " x ".join(map(str, shape)) or "one number"
            raise ValueError(f"'{info.filename}' promises {sizes} of {dtype} in {there} bytes")
        data = _read(file, promised)
    if len(data) != promised:
        raise ValueError(f"'{info.filename}' is cut off")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")


def _read(file: IO[bytes], size: int) -> bytes:
    """So many bytes, or those that are there, in pieces: no memory is taken for what is only promised."""
    data = bytearray()
    while piece := file.read(min(PIECE, size + 1 - len(data))):
        data += piece
        if len(data) > size:
            break
    return bytes(data)
