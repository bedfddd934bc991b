"""Data sets in files of one's own: tables of numbers, folders of images, and Hugging Face data sets on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.errors import UserError, nearest, notice
from tombola.files import read_object
from tombola.seeds import stream
from tombola.text import listed, size

LABELS = ("label", "labels", "class", "target", "y")
"""Columns that hold labels where none is named."""
TRAIN, TEST = ("train", "training"), ("test", "valid", "validation", "val")
"""Names of parts, best first."""
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
FIFTH = 5
"""One example in so many is a test example, where the files do not say which are."""
LARGE = 1 << 26
"""Bytes from which on it is said how large a data set is before it is read."""
Pixels = NDArray[np.uint8]


def read_csv(name: str, given: str) -> Dataset:
    """`csv:FILE` or `csv:FILE?label=COLUMN&split=COLUMN`: a column of labels, which may be words, the others numbers.

    `split` says of each row whether it is a `train` or a `test` one; without it a fifth are test examples, always the
    same. Raises UserError that names file and column.
    """
    file, _, said = given.partition("?")
    path, options = (
        Path(file).expanduser(),
        dict(part.partition("=")[::2] for part in said.split("&") if part),
    )
    if wrong := [key for key in options if key not in ("label", "split")]:
        raise UserError(f"{name}: unknown option '{wrong[0]}'{nearest(wrong[0], ('label', 'split'))}")
    try:
        table = pl.read_csv(path, infer_schema_length=None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a table of comma-separated values") from None
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        raise UserError(f"{path}: not a readable table ({str(problem).partition(chr(10))[0]})") from None
    label = _label_column(path, table, options.get("label"))
    parts = None
    if split := options.get("split"):
        _require_column(path, table, split)
        parts, table = table[split].cast(pl.String), table.drop(split)
    x = table.drop(label)
    for column, kind in x.schema.items():
        if not kind.is_numeric() or x[column].null_count():
            what = f"{x[column].null_count()} empty fields" if kind.is_numeric() else f"type {kind}"
            raise UserError(
                f"{path}: column '{column}' has {what}; expected numbers, or leave the column out"
            )
    if not x.width:
        raise UserError(f"{path}: no columns but '{label}'; expected numbers to tell classes by")
    y = _numbered(table[label].to_list())
    return _split(name, x.to_numpy().astype(np.float32), y, None if parts is None else _tests(path, parts))


def _label_column(path: Path, table: pl.DataFrame, named: str | None) -> str:
    if named is not None:
        _require_column(path, table, named)
        return named
    found = [column for column in LABELS if column in table.columns]
    if not found:
        raise UserError(
            f"{path}: which column holds the labels? expected 'csv:{path}?label=COLUMN', one of: "
            f"{', '.join(table.columns)}"
        )
    return found[0]


def _require_column(path: Path, table: pl.DataFrame, name: str) -> None:
    if name not in table.columns:
        raise UserError(f"{path}: no column '{name}'{nearest(name, table.columns)}")


def _tests(path: Path, parts: pl.Series) -> NDArray[np.bool_]:
    """Which rows are test examples."""
    for row, part in enumerate(parts):
        if part not in (*TRAIN, *TEST):
            raise UserError(f"{path}: row {row + 1} is of part '{part}'; expected 'train' or 'test'")
    return np.array([part in TEST for part in parts])


def _numbered(labels: Iterable[Any]) -> NDArray[np.int64]:
    """Labels as 0, 1, 2, ... in the order of their values."""
    labels = list(labels)
    known = {
        label: number
        for number, label in enumerate(sorted(set(labels), key=lambda each: (str(type(each)), each)))
    }
    return np.array([known[label] for label in labels], dtype=np.int64)


def _split(name: str, x: NDArray[Any], y: NDArray[np.int64], test: NDArray[np.bool_] | None) -> Dataset:
    """The data set; a fifth of the examples are test ones where it is not said which, the same for every study."""
    if test is None:
        test = np.zeros(len(x), dtype=bool)
        test[stream("own files", "test").permutation(len(x))[: len(x) // FIFTH]] = True
    return from_arrays((x[~test], y[~test]), (x[test], y[test]), name)


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
    return _split(name, x, y, np.array([test for _, _, test in files]) if len(roots) == 2 else None)


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
    except OSError as problem:
        raise UserError(f"{path}: not a readable image ({problem})") from None


def read_hugging_face(name: str, given: str) -> Dataset:
    """`hf:FOLDER` or `hf:FOLDER?label=COLUMN`: what `datasets.DatasetDict.save_to_disk` wrote, with the splits `train`
    and `test` (or `validation`), numbers or lists of numbers in every column but the label.

    Images, which are stored encoded, are refused by name. Raises UserError that names folder and column.
    """
    file, _, said = given.partition("?")
    folder, label = Path(file).expanduser(), said.partition("label=")[2] or None
    if not (folder / "dataset_dict.json").is_file():
        raise UserError(
            f"{folder}: no dataset_dict.json in it; expected a folder of DatasetDict.save_to_disk"
        )
    splits = [str(each) for each in read_object(folder / "dataset_dict.json").get("splits", ())]
    found = [next((each for each in names if each in splits), None) for names in (TRAIN, TEST)]
    if None in found:
        raise UserError(f"{folder}: has the splits {listed(splits)}; expected 'train' and 'test'")
    parts = [_hf_part(folder / str(split), label) for split in found]
    return from_arrays(parts[0], parts[1], name)


def _hf_part(folder: Path, label: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    state = read_object(folder / "state.json")
    names = [str(each.get("filename")) for each in state.get("_data_files", ()) if isinstance(each, dict)]
    if state.get("_indices_files") or not names or any(Path(each).name != each for each in names):
        raise UserError(
            f"{folder}: its examples are picked out of other files; expected flatten_indices() before saving"
        )
    try:
        table = pl.concat([pl.read_ipc_stream(folder / each) for each in names])
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        raise UserError(f"{folder}: not readable ({str(problem).partition(chr(10))[0]})") from None
    column = _label_column(folder, table, label)
    others = [np.asarray(_numbers(folder, table, each)) for each in table.columns if each != column]
    if not others:
        raise UserError(f"{folder}: no columns but '{column}'; expected numbers to tell classes by")
    x = others[0] if len(others) == 1 and others[0].ndim > 1 else np.column_stack(others)
    return x, _numbers(folder, table, column)


def _numbers(folder: Path, table: pl.DataFrame, column: str) -> NDArray[Any]:
    try:
        array = np.array(table[column].to_list())
    except ValueError:
        raise UserError(
            f"{folder}: column '{column}' has lists of different lengths; expected one shape"
        ) from None
    if array.dtype.kind not in "biuf":
        kind = table.schema[column]
        raise UserError(
            f"{folder}: column '{column}' is of type {kind}; expected numbers (images: save their pixels)"
        )
    return array
