"""Images in files that stay there: decoded when they are asked for, by a thread for each processor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tombola.data.decode import Decode, Pixels
from tombola.errors import UserError
from tombola.files import canonical
from tombola.seals import digest_of_bytes

SAMPLE = 2000
"""Images that stand for all where a mean over them is taken, from all over the set."""
Wanted = tuple[int, int | None]
"""The number of an image, and the bits of its random crop."""


class Pictures:
    """Images uint8 [n, channels, height, width], of which `rows` decodes those that are asked for.

    The same files give the same bits, whatever the threads do: which images, and which crops of them, is said by who
    asks. Pillow decodes without Python's lock. `size`: of the square they are cut to; None where all are of one size.
    """

    dtype = torch.uint8

    def __init__(
        self, files: Sequence[Path], shape: tuple[int, int, int], size: int | None, decode: Decode
    ) -> None:
        self.files, self.size, self._decode = list(files), size, decode
        self.shape = (len(self.files), *shape)
        self._coming: dict[Wanted, Future[Pixels]] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> Pictures:
        return Pictures(self.files[part], self.shape[1:], self.size, self._decode)

    def expect(self, index: Tensor, bits: Tensor | None = None) -> None:
        """Begin to decode what `rows` will be asked for next."""
        self._coming |= {each: self._begin(each) for each in _wanted(index, bits) if each not in self._coming}

    def rows(self, index: Tensor, bits: Tensor | None = None) -> Tensor:
        """The images of an index, int64 [n], as uint8 [n, channels, height, width]; with `bits`, int64 [n], random
        crops of them. Raises UserError that names a file which cannot be read, or is not as the others are."""
        wanted = _wanted(index, bits)
        self.expect(index, bits)
        own = {each: self._coming.pop(each) for each in dict.fromkeys(wanted)}
        decoded = {each: self._whole(each[0], future.result()) for each, future in own.items()}
        return torch.from_numpy(np.stack([decoded[each] for each in wanted]))

    def sample(self) -> Tensor:
        """All images, or `SAMPLE` of them from all over the set."""
        few = min(len(self), SAMPLE)
        return self.rows(torch.arange(few) * len(self) // few)

    def digest(self, folder: Path) -> str:
        """32 hex digits over where the images lie in a folder, and how many bytes they have; they are not read."""
        places = [[path.relative_to(folder).as_posix(), path.stat().st_size] for path in self.files]
        return digest_of_bytes(canonical([self.size, places]).encode())

    def _begin(self, wanted: Wanted) -> Future[Pixels]:
        number, bits = wanted
        return _threads().submit(self._decode, self.files[number], self.size, bits)

    def _whole(self, number: int, pixels: Pixels) -> Pixels:
        """[channels, height, width]; grey becomes coloured where the others are."""
        channels, *sides = self.shape[1:]
        if pixels.dtype != np.uint8:
            raise UserError(f"{self.files[number]}: has more than 8 bits a pixel; expected 8 with '?stream'")
        if pixels.shape[:2] != tuple(sides) or (pixels.ndim == 3 and channels == 1):
            kind = "coloured" if pixels.ndim == 3 else "grey"
            raise UserError(
                f"{self.files[number]}: {pixels.shape[0]} x {pixels.shape[1]} pixels, {kind}; the first image of each "
                f"class says {sides[0]} x {sides[1]}, {'grey' if channels == 1 else 'coloured'} ('?size=224' makes "
                "images of one size)"
            )
        planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        return np.broadcast_to(planes, (channels, *sides))


def _wanted(index: Tensor, bits: Tensor | None) -> list[Wanted]:
    numbers = index.tolist()
    return list(zip(numbers, bits.tolist() if bits is not None else [None] * len(numbers), strict=True))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="decode")
