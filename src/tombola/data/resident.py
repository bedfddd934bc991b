"""A data set that lives on the device it is used on, and the numbers that normalise it there."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tombola.data.dataset import Dataset, Raw
from tombola.data.pictures import Pictures
from tombola.data.spec import NORMALISATIONS
from tombola.errors import UserError, nearest
from tombola.several import Several


class Resident:
    """A data set on a device: raw tensors stay as they are (uint8 for images), normalised when gathered. Pictures in
    files stay there, and come to the device when they are gathered.

    normalisation: `standard` or `unit`, see `statistics`; the numbers come from the training set alone. With `none`
    examples are handed on as they are, in the type that `input_type` names.
    train_y, test_y: int64 [n] on the device. `several` are the inputs that an example's numbers stand for, where a
    network takes several. Raises UserError for an unknown normalisation, and for one that does not go with the data.
    """

    def __init__(self, dataset: Dataset, normalisation: str, device: torch.device) -> None:
        self.type = input_type(dataset, normalisation)
        self.several = several_inputs(dataset, normalisation)
        self._moments = moments_of(dataset, normalisation)
        shift, scale = self._moments[0] if self.several is None else _by_number(self.several, self._moments)
        self.name = dataset.name
        self.shape = dataset.shape
        self.classes = dataset.classes
        self.device = device
        self.n_train, self.n_test = len(dataset.train_y), len(dataset.test_y)
        self.train_y = dataset.train_y.to(device)
        self.test_y = dataset.test_y.to(device)
        self.streamed = dataset.streamed
        self._train_x, self._test_x = _on(device, dataset.train_x), _on(device, dataset.test_x)
        # [C, 1, 1] beside images, [1] beside anything else
        beside = (-1, 1, 1) if len(self.shape) == 3 else (-1,)
        self._shift = shift.to(device, torch.float32).view(beside)
        self._scale = scale.to(device, torch.float32).view(beside)

    @property
    def input(self) -> dict[str, Any]:
        """What a network is given, as JSON: the shape of an input, the classes, and the mean and deviation of each
        channel (of all numbers, where they are no images) by which raw ones are normalised; of several inputs a list
        of these each, and their shapes; and the type of whole numbers that are handed on as such."""
        about: dict[str, Any] = {"shape": list(self.shape), "classes": self.classes}
        if self.type == torch.int64:
            about["type"] = "int64"
        if self.several is None:
            mean, deviation = (each.flatten().tolist() for each in (self._shift, self._scale))
            return {**about, "mean": mean, "deviation": deviation}
        means, deviations = (
            [each.float().tolist() for each in column] for column in zip(*self._moments, strict=True)
        )
        return {**about, "several": self.several.table(), "mean": means, "deviation": deviations}

    def train(self, index: Tensor, crops: Tensor | None = None) -> Tensor:
        """Training examples of an index, int64 [...] on the device, normalised: [..., *shape], float32 or `type`. With
        `crops`, 64 random bits for each, they are random crops of images in files."""
        rows = self._rows(self._train_x, index.reshape(-1), crops)
        return self._normalised(rows).view(*index.shape, *self.shape)

    def expect(self, index: Tensor, crops: Tensor | None = None) -> None:
        """Begin to read what `train` will be asked for next, where examples are in files."""
        if isinstance(self._train_x, Pictures):
            self._train_x.expect(index.reshape(-1), None if crops is None else crops.reshape(-1))

    def _rows(self, x: Raw, index: Tensor, crops: Tensor | None = None) -> Tensor:
        if isinstance(x, Tensor):
            return x.index_select(0, index)
        return x.rows(index, None if crops is None else crops.reshape(-1)).to(self.device)

    def test(self, start: int, stop: int) -> Tensor:
        """Test examples start..stop-1, normalised: [stop - start, *shape], float32 or `type`."""
        if isinstance(self._test_x, Tensor):
            return self._normalised(self._test_x[start:stop])
        return self._normalised(self._rows(self._test_x, torch.arange(start, stop)))

    def shown(self, count: int) -> Tensor:
        """So many training examples from all over the set, on the CPU and normalised: what a network is tried out on.
        A smaller set shows some twice."""
        rows = torch.arange(count, device=self.device) * self.n_train // count
        return self.train(rows).cpu()

    def raw(
        self, part: Literal["train", "test"]
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """The examples of a part as they are, [n, features] on the CPU, with a shift and a factor for each feature:
        normalised = (raw - shift) * factor, to rounding what `train` and `test` give."""
        shift = self._shift.expand(self.shape).reshape(-1)
        factor = (1 / self._scale).expand(self.shape).reshape(-1)
        examples = self._train_x if part == "train" else self._test_x
        assert isinstance(examples, Tensor), "an engine that reads all was not to be chosen"
        return examples.flatten(1).cpu().numpy(), shift.cpu().numpy(), factor.cpu().numpy()

    def _normalised(self, raw: Tensor) -> Tensor:
        if self.type == torch.int64:
            return raw.to(torch.int64)
        # sub() copies, so that the raw values of float data are never written to
        return raw.to(torch.float32).sub(self._shift).div_(self._scale)


def _on(device: torch.device, x: Raw) -> Raw:
    return x.to(device).contiguous() if isinstance(x, Tensor) else x


EXACT = 1 << 24
"""The largest whole number up to which float32, in which examples are kept, holds every one."""


def input_type(dataset: Dataset, normalisation: str) -> torch.dtype:
    """What a network is given: float32; with normalisation `none` int64 for examples that came as whole numbers.

    Raises UserError for normalisation `none` of uint8 images, and of whole numbers that float32 does not hold.
    """
    bytes_only = dataset.train_x.dtype == torch.uint8
    several = dataset.several or Several((dataset.shape,), (dataset.integral or bytes_only,))
    if normalisation != "none" or not any(several.whole):
        return torch.float32
    images = any(len(shape) == 3 for shape, whole in zip(several.shapes, several.whole, strict=True) if whole)
    if images and (bytes_only or dataset.several):
        raise UserError(
            f"data set '{dataset.name}': normalisation 'none' would hand on the bytes of images as whole numbers; "
            "expected 'unit' (0 to 1) or 'standard'"
        )
    if bytes_only:
        return torch.int64
    parts = (part for part in (dataset.train_x, dataset.test_x) if isinstance(part, Tensor))
    largest = max(float(part.abs().max()) for part in parts)
    if largest > EXACT:
        raise UserError(
            f"data set '{dataset.name}': normalisation 'none' and whole numbers up to {largest:.0f}; expected at most "
            f"{EXACT}"
        )
    return torch.int64 if all(several.whole) else torch.float32


def several_inputs(dataset: Dataset, normalisation: str) -> Several | None:
    """The inputs of an example as a network is given them: whole numbers with normalisation `none` alone."""
    given = dataset.several
    if given is None or normalisation == "none":
        return given
    return replace(given, whole=(False,) * len(given.whole))


Moments = tuple[Tensor, Tensor]
"""Shift and scale, float64 [C] for images and [1] else."""


def _by_number(several: Several, moments: list[Moments]) -> Moments:
    """Shift and scale of each number of a row."""

    def spread(values: Tensor, shape: tuple[int, ...]) -> Tensor:
        beside = values.view(-1, 1, 1) if len(shape) == 3 else values
        return beside.expand(shape).reshape(-1)

    rows = [
        [spread(each, shape) for each in both] for both, shape in zip(moments, several.shapes, strict=True)
    ]
    shift, scale = (torch.cat(column) for column in zip(*rows, strict=True))
    return shift, scale


@lru_cache(maxsize=1)  # of the data in use: a network is tried out on them before they go to a device
def moments_of(dataset: Dataset, normalisation: str) -> list[Moments]:
    """Shift and scale of each input (of the one, where it is not several): normalised = (raw - shift) / scale.

    `standard`: mean and population deviation over the training set, per channel of images [n, C, H, W] and
    over all numbers of anything else (a deviation per feature would blow up the almost constant ones).
    `unit`: 0 and `peak` for uint8, the smallest number and the range of the training set for floats.
    `none`: 0 and 1.
    A scale of 0 counts as 1. uint8 is summed in integers, which is exact. Of pictures in files `Pictures.sample` stands
    for the training set. Raises UserError for another name.
    """
    if normalisation not in NORMALISATIONS:
        raise UserError(f"unknown normalisation '{normalisation}'{nearest(normalisation, NORMALISATIONS)}")
    x = dataset.train_x
    if isinstance(x, Pictures):
        x = x.sample() if normalisation == "standard" else torch.zeros(1, dtype=torch.uint8)
    parts = dataset.several.apart(x) if dataset.several else (x,)
    return [_moments(part.to(x.dtype), normalisation, dataset.peak) for part in parts]


def statistics(dataset: Dataset, normalisation: str) -> Moments:
    """`moments_of` the first input."""
    return moments_of(dataset, normalisation)[0]


def _moments(x: Tensor, normalisation: str, peak: float) -> Moments:
    """Those of one input of all examples, [n, *shape]."""
    if normalisation == "standard":
        groups = list(x.unbind(1)) if x.ndim == 4 else [x]
        pairs = [_mean_and_deviation(group.reshape(-1)) for group in groups]
    elif normalisation == "none":
        pairs = [(0.0, 1.0)]
    elif x.dtype == torch.uint8:
        pairs = [(0.0, float(peak))]
    else:
        low, high = (float(value) for value in torch.aminmax(x))
        pairs = [(low, high - low)]
    shift, scale = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    # Judged in float32, in which the division is done.
    return shift, torch.where(scale.to(torch.float32) == 0, torch.ones_like(scale), scale)


def _mean_and_deviation(values: Tensor) -> tuple[float, float]:
    """Mean and population deviation of uint8 or float32 [n]."""
    if values.dtype == torch.uint8:
        counts: list[int] = torch.bincount(values, minlength=256).tolist()
        n = len(values)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value * value * count for value, count in enumerate(counts))
        # Python integers: nothing is rounded before the last step, and equal values deviate by exactly 0.
        return total / n, math.sqrt(n * squares - total * total) / n
    low, high = torch.aminmax(values)
    if bool(low == high):  # rounding in the mean would leave a tiny deviation, and dividing by it +-1
        return float(low), 0.0
    wide = values.double()
    return float(wide.mean()), float(wide.std(correction=0))


def chunks(count: int, size: int) -> list[tuple[int, int]]:
    """Where each chunk of examples starts and stops: of `size`, the last one smaller; if that had one example alone,
    the last two are equally large."""
    starts = list(range(0, count, size))
    if count - starts[-1] == 1 and len(starts) > 1:
        starts[-1] -= size // 2
    return list(pairwise([*starts, count]))
