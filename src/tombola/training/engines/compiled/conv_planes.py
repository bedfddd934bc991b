"""How the images of one channel lie in memory, so that every weight reads at a fixed distance from where it writes.

An image lies as lines with padding. The padding to the right of a line is that to the left of the next one. Groups of
neighbouring places may reach beyond the width; what is written there is cleared, since it is padding. Behind the last
line there are rows that stay zero, and rows that are written and never read, both for groups that fill up a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tombola.training.engines.compiled.conv_graph import Graph, Window
from tombola.training.engines.compiled.conv_kernels import GROUP


@dataclass(frozen=True)
class Plane:
    """An image of height x width places, with `pad` rows and columns of padding; all numbers of rows of 16 lanes."""

    height: int
    width: int
    pad: int
    broad: int
    """Columns of a line that may be written."""
    stride: int
    """The largest stride at which it is read."""

    @property
    def pitch(self) -> int:
        """From one line to the next."""
        return self.pad + self.broad

    @property
    def origin(self) -> int:
        """Where the image begins."""
        return self.pad * (self.pitch + 1)

    @property
    def zeros(self) -> int:
        """Where the rows begin that stay zero."""
        return (self.height + 2 * self.pad) * self.pitch + self.pad

    @property
    def waste(self) -> int:
        """Where the rows begin that are never read."""
        return self.zeros + GROUP

    @property
    def rows(self) -> int:
        """All rows; an odd number, so that channels do not push each other out of the sets of a cache."""
        rows = self.waste + GROUP * self.stride
        return rows + (5 - rows) % 8


def planes(graph: Graph, rooms: Sequence[int]) -> list[Plane]:
    """How the channels of each value lie in memory, with as much padding as anything reads on any side. Values whose
    gradients share a room, by its number, lie alike."""
    made = []
    for number, (_, height, width) in enumerate(graph.values):
        windows = [
            step.window for step in graph.steps if step.source == number and step.window and step.convolves
        ]
        pads = [pad for window in windows for pad in (window.up, window.left)]
        step = graph.steps[number - 1] if number else None
        if step and step.window and step.convolves:
            window, source = step.window, graph.values[step.source]
            pads += [_margin(window, 0, source[1], height), _margin(window, 1, source[2], width)]
        strides = [1, *(window.stride for window in windows)]
        broad = max(stride * up(up(width, stride) // stride, GROUP) for stride in strides)
        made.append(Plane(height, width, max(pads, default=0), broad, max(strides)))
    return [
        _as_wide(own, [each for each, r in zip(made, rooms, strict=True) if r == room])
        for own, room in zip(made, rooms, strict=True)
    ]


def _as_wide(own: Plane, others: Sequence[Plane]) -> Plane:
    """A plane with room for what is read and written of all others, too."""
    pad, broad, stride = (max(getattr(each, name) for each in others) for name in ("pad", "broad", "stride"))
    return Plane(own.height, own.width, pad, broad, stride)


def reaches(window: Window, axis: int, phase: int) -> dict[int, int]:
    """The rows (axis 0) or columns (axis 1) of a kernel that give a gradient to the places phase, phase + stride, ...
    of what a convolution reads, each with the place of the result that place `phase` has it from."""
    size, pad = ((window.rows, window.up), (window.columns, window.left))[axis]
    shifts = {k: phase + pad - k * window.gap for k in range(size)}
    return {k: shift // window.stride for k, shift in shifts.items() if shift % window.stride == 0}


def _margin(window: Window, axis: int, size: int, places: int) -> int:
    """How far beyond its first or last place the gradient of a result is read for that of the source."""
    ends = [
        (found, found + (size - phase - 1) // window.stride)
        for phase in range(min(window.stride, size))
        for found in reaches(window, axis, phase).values()
    ]
    return max([0, *(-first for first, _ in ends), *(last - places + 1 for _, last in ends)])


def up(number: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-number // unit) * unit
