"""Pixels of images, read by Pillow: whole, cut to a size, or cropped at random."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tombola.errors import UserError, brief

Pixels = NDArray[Any]
Decode = Callable[[Path, int | None, int | None], Pixels]
"""What reads a file: its pixels [height, width] or [height, width, 3], at a size, with the bits of a random crop."""

GREY, DEEP = ("1", "L", "LA"), ("I", "F")
"""Modes of Pillow that have no colours; and how those begin whose pixels are deeper than 8 bits."""
BORDER = 256 / 224
"""The shorter side of an image beside that of the square that is cut out of its middle (Krizhevsky et al. 2012)."""
AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
"""A random crop's share of the image and its width by its height (Szegedy et al. 2015, section 6), and how often one
is drawn until it lies inside."""


def pillow(path: Path, size: int | None = None, bits: int | None = None) -> Pixels:
    """The pixels of an image, turned as its EXIF says: grey, or red, green and blue, as bytes; greys of 16 or 32 bits
    as they are. With a `size`, of a square of so many: that in the middle of the image, resized so that its shorter
    side is 256/224 as long; with 64 random `bits` a crop anywhere, of any size, resized to the square. Raises UserError
    that names the file."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UserError(
            "images are read by Pillow, which is not installed: pip install 'tombola[images]'"
        ) from None
    try:
        # Of large images: how large all are is said by us. Threads decode, so no filters may be put back.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with Image.open(path) as opened:
            frames, image = getattr(opened, "n_frames", 1), ImageOps.exif_transpose(opened)
            clear = (
                image.has_transparency_data and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255
            )
            deep = image.mode.startswith(DEEP)
            whole = image if deep else image.convert("L" if image.mode in GREY else "RGB")
            pixels = np.asarray(whole if size is None or deep else _square(whole, size, bits))
    except MemoryError:
        raise UserError(f"{path}: does not fit in memory") from None
    except Exception as problem:  # whatever a decoder makes of a damaged file
        raise UserError(f"{path}: not a readable image ({brief(problem)})") from None
    if frames > 1:
        raise UserError(f"{path}: has {frames} frames; expected one image a file")
    if clear:
        raise UserError(
            f"{path}: has transparent pixels; expected opaque ones, laid over a background of your choice"
        )
    if deep and size is not None:
        raise UserError(f"{path}: has more than 8 bits a pixel; expected 8, since '?size' is asked for")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _square(image: Any, size: int, bits: int | None) -> Any:
    from PIL import Image

    width, height = image.size
    if bits is not None:
        left, top, wide, high = crop(width, height, bits)
        return image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
    side = min(width, height) / BORDER  # of the square, in pixels of the image
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def crop(width: int, height: int, bits: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a random crop of an image: its area and the logarithm of its width by its height
    are uniform, and so is its place. Where none of ten lies inside, the largest in the middle of a ratio in range."""
    rng = np.random.Generator(np.random.Philox(key=bits & ((1 << 64) - 1)))
    for _ in range(TRIES):
        area = width * height * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1)), wide, high
    ratio = min(max(width / height, RATIO[0]), RATIO[1])
    wide, high = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (width - wide) // 2, (height - high) // 2, wide, high
