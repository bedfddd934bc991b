"""Folders of images, one a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tombola.data.dataset import Dataset
from tombola.data.own_files import TEST, TRAIN, split_off
from tombola.errors import UserError, nearest, notice
from tombola.text import size

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
LARGE = 1 << 26
"""Bytes from which on it is said how large a data set is before it is read."""
Pixels = NDArray[np.uint8]


def read_image_folder(name: str, given: str, decode: Callable[[Path], Pixels] | None = None) -> Dataset:
    """`images:FOLDER`: a folder a class, below `train` and `test` or without these, when a fifth are test images.

    All images are of one size, [height, width] or [height, width, 3]; grey ones among coloured ones are coloured.
    `decode` reads one (default: Pillow). Raises UserError that names the file.
    """
    folder, decode = Path(given).expanduser(), decode or _pillow
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of images for each class")
    parts = [
        next((folder / part for part in names if (folder / part).is_dir()), None) for names in (TRAIN, TEST)
    ]
    if (parts[0] is None) != (parts[1] is None):
        there = parts[0] or parts[1]
        raise UserError(f"{folder}: has '{there.name if there else ''}' alone; expected 'train' and 'test'")
    roots = [each for each in parts if each is not None] or [folder]
    classes = sorted(each.name for each in roots[0].iterdir() if each.is_dir())
    files = [(path, label, root == roots[-1]) for root in roots for label, path in _images(root, classes)]
    if not files:
        raise UserError(f"{folder}: no images in folders of classes; expected FOLDER/CLASS/NAME.png")
    first = decode(files[0][0])
    if (whole := len(files) * first.nbytes) >= LARGE:
        notice(f"{folder}: {len(files):,} images are read into memory, {size(whole)}")
    x = _stacked([(path, decode(path)) for path, _, _ in files])
    y = np.array([label for _, label, _ in files], dtype=np.int64)
    return split_off(name, x, y, np.array([test for _, _, test in files]) if len(roots) == 2 else None)


def _images(root: Path, classes: list[str]) -> list[tuple[int, Path]]:
    """(label, file) of a part. Raises UserError for a class that the training part lacks."""
    for each in sorted(root.iterdir()):
        if each.is_dir() and each.name not in classes:
            raise UserError(f"{each}: no training images of this class{nearest(each.name, classes)}")
    return [
        (label, path)
        for label, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in IMAGES
    ]


def _stacked(images: list[tuple[Path, Pixels]]) -> Pixels:
    """uint8 [n, channels, height, width]."""
    first, pixels = images[0]
    coloured = any(each.ndim == 3 for _, each in images)
    for path, each in images:
        if each.shape[:2] != pixels.shape[:2]:
            raise UserError(
                f"{path}: {each.shape[0]} x {each.shape[1]} pixels, and {first} has {pixels.shape[0]} x "
                f"{pixels.shape[1]}; expected images of one size"
            )
    alike = [np.repeat(each[..., None], 3, 2) if coloured and each.ndim == 2 else each for _, each in images]
    whole = np.stack(alike)
    return np.ascontiguousarray(np.moveaxis(whole, 3, 1) if coloured else whole[:, None])


def _pillow(path: Path) -> Pixels:
    """The pixels of an image, grey or red, green and blue."""
    try:
        from PIL import Image
    except ImportError:
        raise UserError(
            "images are read by Pillow, which is not installed: pip install 'tombola[images]'"
        ) from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB"))
    except MemoryError:
        raise UserError(f"{path}: does not fit in memory") from None
    except Exception as problem:  # broken images raise almost anything
        raise UserError(f"{path}: not a readable image ({problem})") from None
