"""Data sets from arrays: handed in from Python, or stored in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tombola.data.dataset import Dataset, classes_of
from tombola.errors import UserError, nearest
from tombola.npz import read_npz_members
from tombola.several import Several, side_by_side

Array = npt.ArrayLike | Tensor
Pair = tuple[Array | tuple[Array, ...], Array]

NPZ_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Names of the four arrays; the last are those of MedMNIST (Yang et al. 2023), whose coloured images have channels
last."""
CHANNELS = (1, 3, 4)
"""How many channels images have."""


def from_arrays(train: Pair, test: Pair, name: str = "arrays", peak: float = 255.0) -> Dataset:
    """A data set from (examples, labels) of the training and of the test part, numpy or torch, copied.

    Examples are [n, features], [n, H, W] (which gets a channel axis) or [n, C, H, W]; uint8 stays uint8
    (0..peak), other numbers become float32; whole ones are noted as such (`Dataset.integral`). A tuple of such
    arrays is several inputs an example (`Dataset.several`), for a network whose `forward` takes as many.
    Labels are whole numbers [n] (or [n, 1], or one-hot [n, K]), and each class 0..K-1 has a training example; floats
    are targets, [n] or [n, K], taken as they are (`metric = "mse"`). `name` is a label. Raises UserError for anything
    else.
    """
    several = _are_several(train)  # of the larger part, whose inputs cannot be taken for its examples
    train_x, train_y, whole = _part(train, f"{name}, training part", several)
    test_x, test_y, also_whole = _part(test, f"{name}, test part", several)
    numbers = train_y.is_floating_point()
    if numbers != test_y.is_floating_point():
        kinds = ["numbers of type float" if y.is_floating_point() else "classes" for y in (train_y, test_y)]
        raise UserError(
            f"{name}: training labels are {kinds[0]} and test labels {kinds[1]}; expected the same"
        )
    classes = train_y.shape[1] if numbers else classes_of(train_y, f"{name}, training part")
    both = [one and other for one, other in zip(whole, also_whole, strict=False)]
    shapes, others = ([tuple(each.shape[1:]) for each in part] for part in (train_x, test_x))
    if not several:
        return Dataset(name, train_x[0], train_y, test_x[0], test_y, classes, peak, integral=both[0])
    if shapes != others:
        raise UserError(
            f"{name}: training examples have inputs of shapes {_shapes(shapes)} and test examples of "
            f"{_shapes(others)}; expected the same"
        )
    x, test_rows = side_by_side(train_x), side_by_side(test_x)
    inputs = Several(tuple(shapes), tuple(both))
    return Dataset(name, x, train_y, test_rows, test_y, classes, peak, integral=all(both), several=inputs)


def _shapes(found: list[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in found)


def read_npz(name: str, path: Path) -> Dataset:
    """The data set in an .npz file with arrays x_train, y_train, x_test, y_test (or train_x, ..., or MedMNIST's).

    Raises UserError that names the file, and the nearest key it has where one is missing.
    """
    stored = read_npz_members(path, lambda names: _keys_of(path, names))
    train_x, train_y, test_x, test_y = (
        np.moveaxis(array, 3, 1) if key.endswith("_images") and _has_channels_last(array) else array
        for key, array in stored.items()
    )
    return from_arrays((train_x, train_y), (test_x, test_y), name)


def _has_channels_last(array: npt.NDArray[Any]) -> bool:
    return array.ndim == 4 and array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS


def _keys_of(path: Path, present: list[str]) -> tuple[str, ...]:
    fullest = max(NPZ_KEYS, key=lambda keys: len(set(keys) & set(present)))
    for key in fullest:
        if key not in present:
            holds = f"the file holds {', '.join(present) or 'nothing'}"
            close = nearest(key, present)
            raise UserError(f"{path}: no array '{key}'{close if 'did you mean' in close else f'; {holds}'}")
    return fullest


def _part(pair: Pair, where: str, several: bool) -> tuple[list[Tensor], Tensor, list[bool]]:
    """The inputs of the examples, the labels, and which inputs came as whole numbers."""
    try:
        x, y = pair
    except (TypeError, ValueError):
        raise UserError(f"{where}: a pair (examples, labels) was expected") from None
    if several and not isinstance(x, tuple):
        raise UserError(
            f"{where}: one array of examples found; expected a tuple of inputs, as in the training part"
        )
    inputs: Any = x if several else [x]
    given = [_numbers(each, f"{where}, examples") for each in inputs]
    labels = _labels(_numbers(y, f"{where}, labels"), where)
    return [_examples(each, where) for each in given], labels, [each.dtype.kind in "iu" for each in given]


def _are_several(pair: Pair) -> bool:
    """Whether the examples are a tuple of arrays with an example a label each, and no tuple of examples themselves."""
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], tuple):
        return False
    arrays = [each for each in pair[0] if isinstance(each, np.ndarray | Tensor) and each.ndim]
    count = len(pair[1]) if isinstance(pair[1], np.ndarray | Tensor | list | tuple) else 0
    return len(arrays) == len(pair[0]) != count and {len(each) for each in arrays} == {count}


def _numbers(values: Array, where: str) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values if values.layout is torch.strided else values.to_dense()
        # numpy has no bfloat16; float64 is kept, since rounding to float32 is decided later
        values = (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise UserError(f"{where}: rows of different lengths found; expected an array") from None
    if array.dtype == object and array.size:
        try:  # an array of arrays
            array = np.stack([np.asarray(each) for each in array])
        except (ValueError, TypeError):
            raise UserError(
                f"{where}: objects of different shapes found; expected an array of numbers"
            ) from None
    if array.dtype.kind not in "biuf":
        kind = (
            f"objects ({type(array.flat[0]).__name__})"
            if array.dtype == object and array.size
            else array.dtype
        )
        raise UserError(f"{where}: {kind} found; expected numbers")
    return array


def _examples(x: npt.NDArray[Any], where: str) -> Tensor:
    """uint8 or float32 [n, *shape], its own copy."""
    if x.ndim == 4 and min(x.shape[1:3]) > 4 and x.shape[3] in CHANNELS:
        raise UserError(
            f"{where}: examples of shape {list(x.shape)} have their channels last; "
            "expected [n, channels, height, width] (x.transpose(0, 3, 1, 2)), or a tombola.Dataset where they have not"
        )
    if x.ndim == 3:
        x = x[:, np.newaxis]
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, which Dataset refuses
        return torch.from_numpy(np.array(x, dtype=np.uint8 if x.dtype == np.uint8 else np.float32, order="C"))


def _labels(y: npt.NDArray[Any], where: str) -> Tensor:
    """int64 [n], or targets, float32 [n, K]."""
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind != "f":
        y = y[:, 0]
    elif y.dtype.kind == "f" and y.ndim in (1, 2) and (y.ndim == 1 or y.shape[1] == 1):
        return torch.from_numpy(np.array(y, dtype=np.float32).reshape(len(y), -1))
    elif y.ndim == 2 and len(y) and bool(((y == 0) | (y == 1)).all()):
        if (wrong := np.flatnonzero(y.sum(1) != 1)).size:
            row = int(wrong[0])
            raise UserError(
                f"{where}: row {row} has {int(y[row].sum())} of {y.shape[1]} labels; expected one label an example"
            )
        y = y.argmax(1)
    elif y.ndim == 2 and y.dtype.kind == "f" and y.shape[1]:
        return torch.from_numpy(np.array(y, dtype=np.float32))
    if y.ndim != 1 or y.dtype.kind not in "biu":
        raise UserError(f"{where}: labels are {y.dtype} of shape {list(y.shape)}; expected whole numbers [n]")
    return torch.from_numpy(y.astype(np.int64))
