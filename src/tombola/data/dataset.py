"""A data set in memory and the registry of named ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from tombola.data.pictures import Pictures
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.registry import Registry
from tombola.several import Several

Raw = Tensor | Pictures
"""Examples in memory, or in files."""
WHOLE_BYTE = 255.0
"""The peak of images."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples with their labels, on the CPU and not normalised.

    train_x, test_x: uint8 (0..peak) or float32, [n, *shape]; images are [n, C, H, W]. Pictures stay in their files, and
    `places` are then digests of where these lie, in the place of one of what they hold.
    train_y, test_y: int64 [n], 0..classes - 1; or targets that are numbers, float32 [n, classes], where `classes` is
    how many numbers a target has. peak: the largest raw value of uint8 data (unused for floats).
    integral: the examples were handed in as whole numbers, such as token ids (uint8 always is); with normalisation
    "none" a network gets them as such.
    several: the inputs of an example where a network takes several, whose numbers stand in `train_x` and `test_x` side
    by side, [n, numbers]; `whole` says which came as whole numbers.
    Raises UserError when the tensors do not fit together.
    """

    name: str
    train_x: Raw
    train_y: Tensor
    test_x: Raw
    test_y: Tensor
    classes: int
    peak: float = WHOLE_BYTE
    integral: bool = False
    several: Several | None = None
    places: tuple[str, ...] = ()
    known: bool = False
    """Whether its name fixes its peak, which the digest then leaves out, as it did always."""

    def __post_init__(self) -> None:
        _check_part(self, "training", self.train_x, self.train_y)
        _check_part(self, "test", self.test_x, self.test_y)
        if self.train_x.dtype != self.test_x.dtype or self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise UserError(
                f"data set '{self.name}': training examples are {_kind(self.train_x)} and test examples are "
                f"{_kind(self.test_x)}; expected the same type and shape"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.train_x.shape[1:])

    @property
    def streamed(self) -> bool:
        """Whether the examples stay in files."""
        return isinstance(self.train_x, Pictures)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the four tensors, and a peak other than 255: equal exactly when types, shapes and contents
        are."""
        parts = {"train_x": self.train_x, "test_x": self.test_x}
        kept = {name: x for name, x in parts.items() if isinstance(x, Tensor)}
        said = {place: torch.zeros(0) for place in self.places}
        several = self.several.table() if self.several else {}
        inputs = zip(several.get("shapes", ()), several.get("whole", ()), strict=True)
        told = {f"input {i}": torch.tensor([*shape, whole]) for i, (shape, whole) in enumerate(inputs)}
        if self.peak != WHOLE_BYTE and not self.known and self.train_x.dtype == torch.uint8:
            told["peak"] = torch.tensor(self.peak, dtype=torch.float64)
        return digest_of({**kept, **said, **told, "train_y": self.train_y, "test_y": self.test_y})


DATASETS: Registry[Callable[[Path | None], Dataset]] = Registry("data set", "tombola.data")
"""Named data sets, each a function of the data directory (None: the default one); catalog.py fills it."""


def classes_of(labels: Tensor, where: str) -> int:
    """The number K of classes in int64 labels [n]; UserError unless each of 0..K-1 occurs and K >= 2."""
    present = torch.unique(labels).tolist()
    if not present or present[0] < 0:
        found = f"label {present[0]}" if present else "no labels"
        raise UserError(f"{where}: {found} found; expected labels 0, 1, 2, ...")
    gap = next((k for k, label in enumerate(present) if k != label), None)
    if gap is not None:
        raise UserError(
            f"{where}: labels go up to {present[-1]} but no example has label {gap}; "
            f"expected every class from 0 to {present[-1]}"
        )
    if len(present) < 2:
        raise UserError(f"{where}: every label is 0; expected at least two classes")
    return len(present)


def _kind(x: Raw) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape[1:])}"


def _check_part(data: Dataset, part: str, x: Raw, y: Tensor) -> None:
    """UserError unless x and y are n examples and their n labels, of the types that Dataset promises."""
    where = f"data set '{data.name}', {part} part"
    if x.dtype not in (torch.uint8, torch.float32):
        raise UserError(f"{where}: examples are {x.dtype}; expected uint8 or float32")
    if len(x.shape) < 2 or math.prod(x.shape) == 0:
        raise UserError(
            f"{where}: examples have shape {list(x.shape)}; "
            "expected [n, features] or [n, channels, height, width]"
        )
    if y.is_floating_point():
        return _check_targets(data, where, x, y)
    if y.dtype != torch.int64 or y.ndim != 1:
        raise UserError(
            f"{where}: labels are {y.dtype} of shape {list(y.shape)}; expected int64 of shape [n]"
        )
    if len(x) != len(y):
        raise UserError(f"{where}: {len(x)} examples but {len(y)} labels; expected one label an example")
    _check_examples(data, where, x)
    bad = ((y < 0) | (y >= data.classes)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise UserError(f"{where}: row {row} has label {int(y[row])}; expected 0 to {data.classes - 1}")


def _check_targets(data: Dataset, where: str, x: Raw, y: Tensor) -> None:
    if y.dtype != torch.float32 or tuple(y.shape) != (len(x), data.classes):
        raise UserError(
            f"{where}: targets are {y.dtype} of shape {list(y.shape)}; expected float32 of shape "
            f"{[len(x), data.classes]}"
        )
    if not bool(torch.isfinite(y).all()):
        row = int((~torch.isfinite(y)).any(1).nonzero()[0])
        raise UserError(f"{where}: the target of row {row} is NaN or infinite; expected finite numbers")
    _check_examples(data, where, x)


def _check_examples(data: Dataset, where: str, x: Raw) -> None:
    if isinstance(x, Pictures):
        return  # each is looked at when it is decoded
    if x.dtype == torch.uint8 and int(x.max()) > data.peak:
        raise UserError(f"{where}: the largest value is {int(x.max())}; expected at most {data.peak:g}")
    if x.dtype == torch.float32 and not bool(torch.isfinite(x).all()):
        raise UserError(f"{where}: examples hold NaN or infinity; expected finite numbers")
