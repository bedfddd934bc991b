"""Passes over the places of a value: which weights are gathered from which rows, block by block and tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from tombola.training.engines.compiled.conv_graph import Window
from tombola.training.engines.compiled.conv_kernels import GROUP, PATCH
from tombola.training.engines.compiled.conv_planes import Plane, reaches
from tombola.training.engines.compiled.sparse_layout import Bools, Ints

ROWS = 448
"""Rows that are read for a tile from one block of channels: 28 of the 32 to 48 KB of a first cache."""

LEAST = 24
"""Weights of a run that are worth reading and writing its sums for, which takes as long as eight to sixteen of them:
blocks of so many are read, also where their rows are more than a first cache holds."""


@dataclass(frozen=True)
class Sweep:
    """One pass. It has `blocks` times as many runs as there are `units`, block by block: each run is some of the
    weights of one channel that is written, all of which read channels of one block."""

    units: Ints
    """Of each run, its channel."""
    lengths: Ints
    """Of each run, how many weights it has."""
    blocks: int
    weights: Ints
    """Where each weight is in the flattened tensor."""
    source: Ints
    """The row that each weight reads, from where reading begins."""
    places: Ints
    """Of each group of places: rows from where reading and writing begin."""
    filling: int
    """How many groups, the last ones, only fill up a tile: they write rows that nothing reads."""
    read: int
    """Where reading begins, in a block of the value."""
    written: int
    step: int
    """How far apart neighbouring places are where they are read,"""
    gap: int
    """and where they are written."""


def forward(window: Window, alive: Bools, leading: Bools, source: Plane, result: Plane) -> Sweep:
    """The pass that computes a convolution with weights [units, channels, rows, columns], as far as units lead to the
    output."""
    units, channels, k, c = np.nonzero(alive & leading[:, None, None, None])
    rows = channels * source.rows + window.gap * (k * source.pitch + c)
    high, wide = (
        window.stride * (GROUP - 1) + window.gap * (n - 1) + 1 for n in (window.rows, window.columns)
    )
    runs, lengths, blocks, order = _runs(units, channels, leading, alive.shape[1], high * wide)
    down, across = np.arange(result.height)[:, None], np.arange(0, result.width, GROUP)
    read, written = window.stride * (down * source.pitch + across), down * result.pitch + across
    places, filling = _tiles(read, written, result.waste - result.origin)
    return Sweep(
        units=runs,
        lengths=lengths,
        blocks=blocks,
        weights=np.ravel_multi_index((units, channels, k, c), alive.shape)[order],
        source=rows[order],
        places=places,
        filling=filling,
        read=source.origin - window.up * source.pitch - window.left,
        written=result.origin,
        step=window.stride,
        gap=1,
    )


def backward(
    window: Window, alive: Bools, leading: Bools, after: Bools, source: Plane, result: Plane
) -> list[Sweep]:
    """The passes that give the gradient of what a convolution reads, one for each phase of its stride; `leading` says
    which of its channels lead to the output, `after` which of its units do."""
    used = alive & after[:, None, None, None] & leading[None, :, None, None]
    phases = product(range(min(window.stride, source.height)), range(min(window.stride, source.width)))
    return [_phase(window, phase, used, leading, source, result) for phase in phases]


def _phase(
    window: Window, phase: tuple[int, int], used: Bools, leading: Bools, source: Plane, result: Plane
) -> Sweep:
    """The places phase, phase + stride, ... down and across."""
    down, across = (reaches(window, axis, phase[axis]) for axis in range(2))
    met = np.zeros(used.shape[2:], bool)
    met[np.ix_(list(down), list(across))] = True
    units, channels, k, c = np.nonzero(used & met)
    lower = np.array([down.get(n, 0) for n in range(window.rows)])[k]
    right = np.array([across.get(n, 0) for n in range(window.columns)])[c]
    # As numbers of rows that are read are not below 0, reading begins before the padding.
    before = result.pad * (result.pitch + 1)
    rows = units * result.rows + before + lower * result.pitch + right
    area = (GROUP - 1 + len(down)) * (GROUP - 1 + len(across))
    runs, lengths, blocks, order = _runs(channels, units, leading, len(used), area)
    high = np.arange(len(range(phase[0], source.height, window.stride)))[:, None]
    wide = np.arange(0, len(range(phase[1], source.width, window.stride)), GROUP)
    written = window.stride * (high * source.pitch + wide)
    begin = source.origin + phase[0] * source.pitch + phase[1]
    places, filling = _tiles(high * result.pitch + wide, written, source.waste - begin)
    return Sweep(
        units=runs,
        lengths=lengths,
        blocks=blocks,
        weights=np.ravel_multi_index((units, channels, k, c), used.shape)[order],
        source=rows[order],
        places=places,
        filling=filling,
        read=result.origin - before,
        written=begin,
        step=1,
        gap=window.stride,
    )


def _runs(
    writes: Ints, reads: Ints, leading: Bools, channels: int, area: int
) -> tuple[Ints, Ints, int, Ints]:
    """Runs of weights that write to and read from channels: of each run its channel and length, how many blocks the
    channels that are read make, and the order of the weights. A tile reads `area` rows of a channel."""
    able = np.flatnonzero(leading)
    dense = len(writes) / max(1, len(able) * channels)  # weights for each pair of channels
    per = min(channels, max(1, ROWS // area, int(np.ceil(LEAST / dense)) if dense else channels))
    blocks = -(-channels // per)
    per = -(-channels // blocks)
    runs, lengths, order = list[Ints](), list[Ints](), list[Ints]()
    for first in range(0, channels, per):
        inside = np.flatnonzero((reads >= first) & (reads < first + per))
        counts = np.bincount(writes[inside], minlength=len(leading))[able]
        longest = np.argsort(-counts, kind="stable")  # first, so that lengths change seldom
        rank = np.zeros(len(leading), np.int64)
        rank[able[longest]] = np.arange(len(able))
        runs.append(able[longest])
        lengths.append(counts[longest])
        order.append(inside[np.argsort(rank[writes[inside]], kind="stable")])
    return np.concatenate(runs), np.concatenate(lengths), len(runs), np.concatenate(order)


def _tiles(read: Ints, written: Ints, spare: int) -> tuple[Ints, int]:
    """Groups of places [lines, across] in the order of tiles, whose places are as near to each other as can be. The
    last tile is filled up by groups that are written to row `spare` and on; how many these are."""
    lines = [
        np.arange(read.size).reshape(read.shape)[top : top + PATCH] for top in range(0, len(read), PATCH)
    ]
    order = np.concatenate([each.T.reshape(-1) for each in lines])
    pairs = np.stack([read.reshape(-1)[order], written.reshape(-1)[order]], axis=1)
    filling = -len(pairs) % PATCH
    return np.concatenate([pairs, np.tile([[pairs[0, 0], spare]], (filling, 1))]), filling
