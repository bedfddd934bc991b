"""Folders of images, one a class: read into memory, or left where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tombola.data.dataset import Dataset, classes_of
from tombola.data.decode import Decode, Pixels, pillow
from tombola.data.own_files import TEST, TRAIN, options_of, split_off, tests_among
from tombola.data.pictures import Pictures
from tombola.errors import UserError, nearest, notice
from tombola.text import size

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
LARGE = 1 << 26
"""Bytes from which on it is said how large a data set is before it is read."""
LARGEST_SIDE = 4096
"""Pixels of a side that images may be cut to."""


def read_image_folder(name: str, given: str, decode: Decode = pillow) -> Dataset:
    """`images:FOLDER?size=SIDE&stream`: a folder a class, below `train` and `test` or without these, when a fifth are
    test images.

    With `size` the middle of each image is resized to a square of so many pixels a side, see `decode.pillow`; without
    it all have to be of one size. Grey ones among coloured ones are coloured. With `stream` images stay in their
    files, and are decoded when they are trained on. Raises UserError that names the file.
    """
    path, options = options_of(name, given, ("size", "stream"))
    side = _side(name, options.get("size"))
    folder = Path(path).expanduser()
    files, parted = _files(folder)
    paths, y = [path for path, _, _ in files], np.array([label for _, label, _ in files], dtype=np.int64)
    test = np.array([test for _, _, test in files]) if parted else tests_among(len(files))
    if "stream" in options:
        return _streamed(name, folder, paths, torch.from_numpy(y), test, side, decode)
    first = decode(paths[0], side, None)
    if (whole := len(files) * first.nbytes) >= LARGE:
        notice(f"{folder}: {len(files):,} images are read into memory, {size(whole)} (not with '?stream')")
    return split_off(name, _stacked([(path, decode(path, side, None)) for path in paths]), y, test)


def _side(name: str, said: str | None) -> int | None:
    if said is None:
        return None
    if not said.isdecimal() or not 1 <= int(said[:9]) <= LARGEST_SIDE:
        raise UserError(f"{name}: size is '{said}', expected pixels from 1 to {LARGEST_SIDE}")
    return int(said)


def _streamed(
    name: str,
    folder: Path,
    paths: list[Path],
    y: torch.Tensor,
    test: NDArray[np.bool_],
    side: int | None,
    decode: Decode,
) -> Dataset:
    """The data set whose images stay in their files; what they are like is seen of the first of each class."""
    shown = [decode(paths[int(i)], side, None) for i in np.unique(y.numpy(), return_index=True)[1]]
    shape = (3 if any(each.ndim == 3 for each in shown) else 1, *shown[0].shape[:2])
    train_x, test_x = (
        Pictures([paths[i] for i in np.flatnonzero(rows)], shape, side, decode) for rows in (~test, test)
    )
    train_y, test_y = y[torch.from_numpy(~test)], y[torch.from_numpy(test)]
    classes = classes_of(train_y, f"{name}, training part")
    places = (train_x.digest(folder), test_x.digest(folder))
    return Dataset(name, train_x, train_y, test_x, test_y, classes, places=places)


def _files(folder: Path) -> tuple[list[tuple[Path, int, bool]], bool]:
    """Each image with its label and whether it is a test image, and whether the folder says which are."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of images for each class")
    parts = [
        next((folder / part for part in names if (folder / part).is_dir()), None) for names in (TRAIN, TEST)
    ]
    if (parts[0] is None) != (parts[1] is None):
        there = parts[0] or parts[1]
        raise UserError(f"{folder}: has '{there.name if there else ''}' alone; expected 'train' and 'test'")
    roots = [each for each in parts if each is not None] or [folder]
    classes = sorted(each.name for each in _folders(roots[0]))
    files = [(path, label, root == roots[-1]) for root in roots for label, path in _images(root, classes)]
    if not files:
        raise UserError(f"{folder}: no images in folders of classes; expected FOLDER/CLASS/NAME.png")
    return files, len(roots) == 2


def _images(root: Path, classes: list[str]) -> list[tuple[int, Path]]:
    """(label, file) of a part. Raises UserError for a class that the training part lacks."""
    for each in sorted(_folders(root)):
        if each.name not in classes:
            raise UserError(f"{each}: no training images of this class{nearest(each.name, classes)}")
    return [
        (label, path)
        for label, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in IMAGES and not any(map(_hidden, path.relative_to(root).parts))
    ]


def _folders(root: Path) -> list[Path]:
    """The folders of classes: those that are hidden, as .ipynb_checkpoints is, hold none."""
    return [each for each in root.iterdir() if each.is_dir() and not _hidden(each.name)]


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _stacked(images: list[tuple[Path, Pixels]]) -> Pixels:
    """[n, channels, height, width], in the type that all have."""
    first, pixels = images[0]
    coloured = any(each.ndim == 3 for _, each in images)
    for path, each in images:
        if each.shape[:2] != pixels.shape[:2]:
            raise UserError(
                f"{path}: {each.shape[0]} x {each.shape[1]} pixels, and {first} has {pixels.shape[0]} x "
                f"{pixels.shape[1]}; expected images of one size"
            )
        if each.dtype != pixels.dtype:
            raise UserError(
                f"{path}: pixels are {each.dtype}, and those of {first} {pixels.dtype}; expected images of one depth"
            )
    alike = [np.repeat(each[..., None], 3, 2) if coloured and each.ndim == 2 else each for _, each in images]
    whole = np.stack(alike)
    return np.ascontiguousarray(np.moveaxis(whole, 3, 1) if coloured else whole[:, None])
