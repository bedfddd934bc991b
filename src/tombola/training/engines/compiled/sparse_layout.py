"""One network of a stack as flat arrays of its living weights, in the order the compiled loops take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tombola.training.engines.chain import Layer
from tombola.training.engines.compiled import sparse_kernels
from tombola.training.stack import Stack

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DENSE_ABOVE = 0.28
"""Density from which a whole matrix product is faster than going through the living weights: per weight it is
3.6 times faster (first layer of LeNet-300-100, 64 lanes: 236 to 65 GFLOP/s on a Zen 5 core)."""

BLOCK = 112
"""Inputs of a block: their rows of 64 lanes take 28 of the 32 to 48 KB of a first cache."""


Scales = tuple[Floats, Floats]
"""Shift and factor of each feature."""


class Pace(NamedTuple):
    """The learning rate of each step, how weights are updated, and how many steps came before."""

    rates: NDArray[np.float64]
    rule: sparse_kernels.Rule
    taken: int


class Living:
    """The weights and biases of network r, read from the stack and written back to it.

    `arrays` is what the kernels take, see sparse_kernels.py. How a layer is stored depends on its own mask alone, so
    that a network has the same bits in every stack.
    """

    def __init__(self, stack: Stack, layers: Sequence[Layer], r: int) -> None:
        masks = [alive_in(stack, layer.weight, r) for layer in layers]
        leads = _leads(masks)
        self.leads: Bools = np.asarray(masks[0][leads[0]].any(0))
        """Of each input: whether living weights lead from it to the output."""
        stored = [store(alive, ahead) for alive, ahead in zip(masks, leads, strict=True)]
        self.inputs: int = masks[0].shape[1]
        self.classes: int = masks[-1].shape[0]
        self.widths = [len(alive) for alive in masks]
        """Units of each layer."""
        self.units = sum(self.widths)
        below, place, run, unit = 0, 0, 0, 0  # what lies before a layer, in each numbering
        table, flags = list[tuple[int, ...]](), list[Bools]()
        units, ptr, source = list[Ints](), list[Ints](), list[Ints]()
        self._weights: list[tuple[Floats, Stored, slice]] = []
        self._biases: list[tuple[Floats, slice]] = []
        biased = np.zeros(self.units, bool)
        for layer, alive, kept in zip(layers, masks, stored, strict=True):
            count, features = len(kept.places), alive.shape[1]
            own, part = slice(unit, unit + len(alive)), slice(place, place + count)
            runs = kept.runs.shape[1]
            table.append((
                below, features, len(alive), place, count, int(layer.relu), kept.kind, run, runs, kept.blocks
            ))  # fmt: skip
            self._weights.append((stack.params[layer.weight][r].numpy().reshape(-1), kept, part))
            if layer.bias:
                self._biases.append((stack.params[layer.bias][r].numpy(), own))
                biased[own] = True
            # One more end than there are runs, and a unit for it that is never read.
            units.append(below + features + np.append(kept.runs.reshape(-1), 0))
            ptr.append(place + np.append(0, np.cumsum(kept.lengths)))
            source.append(below + kept.places % features)
            flags.append(alive.reshape(-1)[kept.places])
            place, run, unit, below = part.stop, run + len(units[-1]), own.stop, below + features
        whole = [layer for layer in table if layer[sparse_kernels.KIND] != sparse_kernels.SPARSE]
        self.features = max((layer[sparse_kernels.FEATURES] for layer in whole), default=0)
        """Inputs of the widest layer that is stored whole."""
        sizes = [kept.places.size for kept in stored if kept.kind == sparse_kernels.SPARSE]
        self.gradients = max([*sizes, sparse_kernels.ROWS * self.features])
        """Gradients that are held at a time."""
        self.arrays = sparse_kernels.Network(
            layers=np.array(table, np.int64),
            unit=np.concatenate(units),
            ptr=np.concatenate(ptr),
            source=np.concatenate(source).astype(np.int32),
            biased=biased,
            alive=np.concatenate(flags),
            active=np.flatnonzero(masks[0].any(0))
            if stored[0].kind == sparse_kernels.SPARSE
            else np.arange(self.inputs),
            w=np.zeros(place, np.float32),
            bias=np.zeros(self.units, np.float32),
        )
        self.read()

    def read(self) -> None:
        """Take the weights from the stack."""
        for weight, kept, part in self._weights:
            self.arrays.w[part] = weight[kept.places] if kept.kind == sparse_kernels.SPARSE else weight
        for bias, own in self._biases:
            self.arrays.bias[own] = bias

    def write(self) -> None:
        """Put the weights into the stack; dead ones there stay what they are."""
        for weight, kept, part in self._weights:
            if kept.kind == sparse_kernels.SPARSE:
                weight[kept.places] = self.arrays.w[part]
            elif kept.kind == sparse_kernels.DENSE:
                weight[:] = self.arrays.w[part]
            else:
                sparse_kernels.put_living(self.arrays.w[part], self.arrays.alive[part], weight)
        for bias, own in self._biases:
            bias[:] = self.arrays.bias[own]

    def rows(self, lanes: int) -> Floats:
        """Room for a row of `lanes` numbers for each input and unit."""
        return aligned((self.inputs + self.units) * lanes)

    def moments(self) -> dict[str, Floats]:
        """The optimizer's state before the first step."""
        return {
            "weights": np.zeros((2, len(self.arrays.w)), np.float32),
            "biases": np.zeros((2, self.units), np.float32),
        }

    def advance(
        self, moments: dict[str, Floats], laid: NDArray[Any], labels: Ints, scales: Scales, pace: Pace
    ) -> None:
        """Train on batches [steps, features, lanes] with labels [steps, batch]."""
        lanes = laid.shape[2]
        sparse_kernels.advance(
            self.arrays, moments["weights"], moments["biases"], laid, labels, *scales,
            pace.rates, pace.rule, pace.taken,
            self.rows(lanes), self.rows(lanes), aligned(self.features * lanes), aligned(self.gradients),
        )  # fmt: skip

    def score(self, blocks: NDArray[Any], labels: Ints, scales: Scales) -> tuple[float, int]:
        """Summed cross-entropy (nats) and number of hits on blocks [n, features, lanes] with labels [examples]."""
        found: tuple[float, int] = sparse_kernels.score(
            self.arrays, blocks, labels, *scales, self.rows(blocks.shape[2])
        )
        return found

    def logits(self, x: Floats, out: Floats) -> None:
        """Logits of normalised examples [n, features] into out [n, classes]."""
        sparse_kernels.logits(self.arrays, x, self.rows(sparse_kernels.LANES), out)


@dataclass(frozen=True)
class Stored:
    """How the weights of one layer are stored: `places` in the flattened tensor, one for each stored weight.

    A sparse layer consists of runs, one of each unit in each block of inputs: `runs` [blocks, units] says whose, and
    `lengths` [blocks * units] of how many weights; what belongs to no run comes after them.
    """

    kind: int
    places: Ints
    runs: Ints
    lengths: Ints

    @property
    def blocks(self) -> int:
        """Blocks of inputs."""
        return len(self.runs)


def store(alive: Bools, leads: Bools) -> Stored:
    """How a layer [units, features] is stored; `leads` says of which units living weights lead to the output.

    The weights of the others cannot have a gradient: they belong to no run.
    """
    units, features = alive.shape
    large = units >= sparse_kernels.ROWS and features >= sparse_kernels.COLUMNS
    if large and alive.mean() >= DENSE_ABOVE:
        kind = sparse_kernels.DENSE if alive.all() else sparse_kernels.MASKED
        return Stored(kind, np.arange(alive.size), np.zeros((0, 0), np.int64), np.zeros(0, np.int64))
    # Blocks pay where a run has 8 weights: a row of sums is read and written for every run.
    width = BLOCK if alive.mean() * BLOCK >= 8 else features
    able = np.flatnonzero(leads)
    places, runs, lengths = list[Ints](), list[Ints](), list[Ints]()
    for first in range(0, features, width):
        block = alive[:, first : first + width]
        counts = block.sum(1)
        order = able[np.argsort(-counts[able], kind="stable")]
        at, inputs = np.nonzero(block[order])
        places.append(order[at] * features + first + inputs)
        runs.append(order)
        lengths.append(counts[order])
    idle = np.flatnonzero(alive & ~leads[:, None])
    return Stored(
        sparse_kernels.SPARSE, np.concatenate([*places, idle]), np.stack(runs), np.concatenate(lengths)
    )


def aligned(size: int) -> Floats:
    """Zeros that begin at a cache line, so that no row of 16 lies across two."""
    room = np.zeros(size + 16, np.float32)
    first = (-room.ctypes.data // 4) % 16
    return room[first : first + size]


def alive_in(stack: Stack, weight: str, r: int) -> Bools:
    """Which entries of a weight of network r live."""
    mask = stack.masks.get(weight)
    if mask is None:
        return np.ones(stack.params[weight].shape[1:], bool)
    alive: Bools = mask[r].numpy().astype(bool)
    return alive


def _leads(masks: Sequence[Bools]) -> list[Bools]:
    """Of each unit of each layer: whether living weights lead from it to the output."""
    leads = [np.ones(len(masks[-1]), bool)]
    for mask in reversed(masks[1:]):
        reached = np.asarray(mask[leads[0]].any(0))
        leads.insert(0, reached)
    return leads
