"""A data set from whatever is handed in from Python: one of ours, a name, arrays, or data sets of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tombola.data.arrays import NPZ_KEYS, from_arrays
from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.errors import UserError, notice
from tombola.text import counted, size

Data: TypeAlias = "str | Path | Dataset | Mapping[str, Any] | Sequence[Any]"
"""A name, a data set, a table with the keys of an .npz file, four arrays, or a pair of a training and a test part, each
(examples, labels) or a map-style data set of torch. Several inputs an example are a tuple of arrays."""
LARGE = 1 << 26
"""Bytes from which on it is said how large a data set is before it is read."""
EXPECTED = (
    "expected a name, a tombola.Dataset, a pair (training, test) of (examples, labels) or map-style torch data sets, "
    "or four arrays x_train, y_train, x_test, y_test"
)


def dataset_of(given: Data, data_dir: Path | None = None) -> Dataset:
    """The data set that is handed in; data sets of torch are read once, example by example, into memory.

    Raises UserError, which says what was found, for anything else.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, str | Path):
        return load(str(given), data_dir)
    if isinstance(given, Mapping):
        keys = next((keys for keys in NPZ_KEYS if set(keys) <= set(given)), None)
        if keys is None:
            found = ", ".join(map(str, given)) or "nothing"
            raise UserError(f"data: a table with {found} found; expected {', '.join(NPZ_KEYS[0])}")
        given = [given[key] for key in keys]
    if isinstance(given, tuple | list):
        if len(given) == 4:
            return from_arrays((given[0], given[1]), (given[2], given[3]))
        if len(given) == 2:
            return from_arrays(_part(given[0], "training part"), _part(given[1], "test part"))
        raise UserError(f"data: {counted(len(given), 'part')} found; {EXPECTED}")
    raise UserError(f"data: {_called(given)} found; {EXPECTED}")


def _part(given: Any, where: str) -> tuple[Any, Any]:
    """Examples and labels of one part."""
    if isinstance(given, tuple | list):
        if len(given) != 2:
            raise UserError(
                f"data, {where}: {counted(len(given), 'array')} found; expected (examples, labels)"
            )
        return given[0], given[1]
    if isinstance(given, TensorDataset) and len(given.tensors) == 2:
        return given.tensors[0], given.tensors[1]
    readable = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    if isinstance(given, DataLoader | IterableDataset | Tensor | np.ndarray) or not readable:
        raise UserError(f"data, {where}: {_called(given)} found; {EXPECTED}")
    return _read(given, where)


def _read(given: Any, where: str) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
    """All examples and labels of a map-style data set."""
    count = len(given)
    if count == 0:
        raise UserError(f"data, {where}: an empty {type(given).__name__} found; expected examples")
    first = _example(given, 0, where)
    whole = count * sum(each.numel() * each.element_size() for each in first[:-1])
    if whole >= LARGE:
        notice(f"data, {where}: {count:,} examples are read into memory, {size(whole)}")
    columns = [torch.empty(count, *each.shape, dtype=each.dtype) for each in first]
    for i in _watched(count, where, whole >= LARGE):
        example = _example(given, i, where)
        if (shapes := _shapes(example)) != (expected := _shapes(first)):
            raise UserError(
                f"data, {where}: example {i} has shape {shapes}, and example 0 {expected}; expected one shape"
            )
        for place, each in enumerate(example):
            kind, label = columns[place].dtype, place == len(columns) - 1
            if each.dtype != kind:
                if not label and torch.uint8 in (each.dtype, kind):  # maybe one of 0..255 and one of 0..1
                    kinds = [str(dtype).removeprefix("torch.") for dtype in (each.dtype, kind)]
                    raise UserError(
                        f"data, {where}: example {i} is of type {kinds[0]}, and those before it {kinds[1]}; expected "
                        "one type"
                    )
                columns[place] = columns[place].to(torch.promote_types(kind, each.dtype))
            columns[place][i] = each
    *inputs, labels = columns
    return (tuple(inputs) if len(inputs) > 1 else inputs[0]), labels


def _shapes(example: Sequence[Tensor]) -> str:
    """The shapes of the inputs of an example, and that of its label where it has one."""
    shapes = [str(list(each.shape)) for each in example]
    return " and ".join(shapes[:-1]) + (f" and label {shapes[-1]}" if example[-1].dim() else "")


def _watched(count: int, where: str, large: bool) -> Iterator[int]:
    console = Console(stderr=True)
    shown = large and console.is_terminal
    yield from track(range(count), where, console=console, transient=True, disable=not shown)


def _example(given: Any, i: int, where: str) -> list[Tensor]:
    """The inputs of an example, and its label."""
    found = given[i]
    if not isinstance(found, tuple | list) or len(found) != 2:
        several = isinstance(found, tuple | list)
        what = f"{len(found)} things" if several else _called(found)
        or_so = ", or ((input, input, ...), label)" if several else ""
        raise UserError(f"data, {where}: example {i} is {what}; expected (example, label){or_so}")
    x, label = found
    arrays = isinstance(x, tuple | list) and all(
        isinstance(each, Tensor | np.ndarray) and each.ndim for each in x
    )
    inputs = x if arrays and len(x) > 1 else [x]
    where = f"data, {where}"
    return [
        *(_tensor(each, f"{where}: example {i}") for each in inputs),
        _tensor(label, f"{where}: label {i}"),
    ]


def _tensor(value: Any, where: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"{where} is {_called(value)}; expected numbers (a transform to tensors is left out, maybe)"
        )
    if array.ndim == 3 and array.shape[2] in (1, 3, 4) and not isinstance(value, np.ndarray):
        array = array.transpose(2, 0, 1)  # a picture of Pillow
    return torch.from_numpy(np.array(array))


def _called(given: Any) -> str:
    """What was handed in, with how to hand it in where that is known."""
    kind = type(given).__name__
    if isinstance(given, DataLoader):
        return "a DataLoader (which draws batches; hand in its .dataset)"
    if isinstance(given, IterableDataset):
        return f"a data set of torch without places, {kind},"
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
