"""Wiring: which layer feeds which, and what flows through the living weights from inputs to outputs.

A unit is a unit of a linear layer or a channel of a convolution; inputs and outputs of the network are units too.
A weight is one connection between two units: several weights of a kernel, or of a linear layer that reads a
flattened image, connect the same two. Biases and norms carry nothing here, and a residual stream keeps what it
holds: what a block adds comes on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tombola.compare.foreign import chain
from tombola.compare.network import Network
from tombola.errors import UserError
from tombola.masks import Mask

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
INPUT, OUTPUT = -1, -2
"""The sets of units that are not hidden; hidden sets go by the number of their group in the network."""
LARGE = 1e150
"""Counts of paths beyond this are kept as a share of the largest: floats end at 1e308."""


@dataclass(frozen=True)
class Wire:
    """One layer: the set of units it reads, with so many weights a unit where it is flattened, and that it writes."""

    name: str
    source: int
    positions: int
    target: int


@dataclass(frozen=True)
class Wiring:
    """The layers of a network in the order of its forward pass, each after what it reads."""

    wires: tuple[Wire, ...]

    @classmethod
    def of(cls, mask: Mask, network: Network) -> Wiring:
        """The wiring of masked layers. Without a network, that of linear layers that follow one another.

        Raises UserError where it cannot be told.
        """
        if not network.groups and network.architecture is None:
            network = chain(mask)
        order = network.architecture.prunable if network.architecture else tuple(mask)
        waiting = [_wire(name, network) for name in order if name in mask]
        written, wires = {INPUT}, list[Wire]()
        while waiting:
            ready = next((wire for wire in waiting if wire.source in written), None)
            if ready is None or (ready.source == INPUT and ready.target in written):
                stuck = ready or waiting[0]
                raise UserError(
                    f"it cannot be told what '{stuck.name}' reads, so paths through it are unknown"
                )
            waiting.remove(ready)
            wires.append(ready)
            written.add(ready.target)
        return cls(tuple(wires))

    def connections(self, living: Mapping[str, NDArray[np.bool_]]) -> list[Floats]:
        """For each layer [units written, units read] the number of living weights between them."""
        found = []
        for wire in self.wires:
            bits = living[wire.name]
            places = bits.reshape(bits.shape[0], bits.shape[1] // wire.positions, -1)
            found.append(places.sum(axis=2, dtype=np.float64))
        return found

    def log_paths(self, connections: list[Floats]) -> float:
        """log10(1 + number of chains of weights that lead from an input to an output)."""
        scale, state = 0.0, dict[int, Floats]()
        for wire, matrix in zip(self.wires, connections, strict=True):
            read = np.ones(matrix.shape[1]) if wire.source == INPUT else state[wire.source]
            state[wire.target] = state.get(wire.target, 0.0) + matrix @ read
            most = float(state[wire.target].max(initial=0.0))
            if most > LARGE:
                scale, state = scale + math.log10(most), {key: counts / most for key, counts in state.items()}
        total = float(state[OUTPUT].sum())
        return scale + math.log10(total) if scale and total else math.log10(1 + total)

    def living_ends(self, connections: list[Floats]) -> list[tuple[Bits, Bits, Bits]]:
        """For each layer: the units read that an input leads to, the units written that one leads to, and those
        written that lead to an output."""
        fed: dict[int, Bits] = {}
        given: list[tuple[Bits, Bits]] = []
        for wire, matrix in zip(self.wires, connections, strict=True):
            read = np.ones(matrix.shape[1], bool) if wire.source == INPUT else fed[wire.source]
            nothing = np.zeros(len(matrix), bool)
            fed[wire.target] = fed.get(wire.target, nothing) | (matrix @ read > 0)
            given.append((read, fed[wire.target]))
        useful: dict[int, Bits] = {}
        asked: list[Bits] = []
        for wire, matrix in zip(self.wires[::-1], connections[::-1], strict=True):
            last = np.full(len(matrix), wire.target == OUTPUT)
            after = useful.get(wire.target, last)
            asked.append(after)
            nothing = np.zeros(matrix.shape[1], bool)
            useful[wire.source] = useful.get(wire.source, nothing) | (matrix.T @ after > 0)
        return [(read, out, after) for (read, out), after in zip(given, asked[::-1], strict=True)]


def can_be_wired(mask: Mask, network: Network) -> bool:
    """Whether it can be told which layer feeds which."""
    try:
        Wiring.of(mask, network)
    except UserError:
        return False
    return True


def _wire(name: str, network: Network) -> Wire:
    axes = network.axes.get(name, {})
    source, positions = axes.get(1, (INPUT, 1))
    target, _ = axes.get(0, (OUTPUT, 1))
    return Wire(name, source, positions, target)
