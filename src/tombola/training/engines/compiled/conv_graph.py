"""What a network of convolutions and pools computes, value by value: the form that its layout is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tombola.training.engines.chain import Layer

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Window:
    """What one place of a result sees: so many rows and columns of the image, `stride` apart from what the next place
    sees, after padding with so many rows above and below and columns left and right. `gap` is the dilation."""

    rows: int
    columns: int
    stride: int = 1
    up: int = 0
    left: int = 0
    gap: int = 1

    def over(self, height: int, width: int) -> tuple[int, int]:
        """How many places there are, down and across."""
        high, wide = self.gap * (self.rows - 1) + 1, self.gap * (self.columns - 1) + 1
        return (height + 2 * self.up - high) // self.stride + 1, (
            width + 2 * self.left - wide
        ) // self.stride + 1


class Norm(NamedTuple):
    """What a batch norm has beside its parameters: names of the buffers of running means and variances, and of the
    counter of batches."""

    mean: str
    variance: str
    counter: str
    eps: float
    momentum: float


class Drop(NamedTuple):
    """Dropout with a probability: which of the network's dropout layers it is, counted with each call as in `Noise`,
    and whether it drops channels as a whole."""

    layer: int
    p: float
    whole: bool


@dataclass(frozen=True)
class Step:
    """What makes a value of value `source`: a convolution, perhaps of groups, or a batch norm, which have a weight
    (names of parameters), a pool that takes the largest or else the mean of each window, dropout, or the sum with value
    `other`; `relu` says whether a ReLU follows."""

    source: int
    window: Window | None = None
    weight: str | None = None
    bias: str | None = None
    groups: int = 1
    largest: bool = False
    drop: Drop | None = None
    norm: Norm | None = None
    other: int | None = None
    relu: bool = False

    @property
    def sources(self) -> tuple[int, ...]:
        """The values that are read."""
        return (self.source,) if self.other is None else (self.source, self.other)

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution."""
        return self.weight is not None and self.window is not None


@dataclass(frozen=True)
class Graph:
    """The values of a network up to where it is flattened, images first; the steps that make all others, in their
    order; the linear layers after that; and dropout after one of these, by its place."""

    values: tuple[Shape, ...]
    steps: tuple[Step, ...]
    head: tuple[Layer, ...]
    drops: tuple[tuple[int, Drop], ...] = ()
