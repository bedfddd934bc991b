"""Paths: what of a ticket is on a living path from an input to an output, how many such paths there are, chains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tombola.alignment.network import Network, chain
from tombola.alignment.words import WHOLE
from tombola.comparison.measures.base import MEASURES, Case, Measure, Values, quotient
from tombola.errors import UserError
from tombola.masks.mask import Mask

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


def _shares(parts: dict[str, tuple[float, float]]) -> Values:
    """The quotient of each layer's two numbers, and that of their sums over layers."""
    together = np.array(list(parts.values())).sum(axis=0)
    return {name: float(quotient(*np.array(two))) for name, two in {**parts, WHOLE: together}.items()}


def effective_density(case: Case) -> Values:
    """Weights on a path of living weights from an input to an output, of all weights, dead ones included."""
    wiring, living = Wiring.of(case.a.mask, case.network), case.a.living()
    connections = wiring.connections(living)
    parts = {}
    for wire, matrix, (fed, _, useful) in zip(
        wiring.wires, connections, wiring.living_ends(connections), strict=True
    ):
        parts[wire.name] = (float(useful @ matrix @ fed), float(living[wire.name].size))
    return _shares(parts)


def dead_units(case: Case) -> Values:
    """Units that a layer writes and that are on no such path, of all that it writes.

    Outputs count; units of a residual stream count once for each layer that adds to them.
    """
    wiring = Wiring.of(case.a.mask, case.network)
    connections = wiring.connections(case.a.living())
    parts = {}
    for wire, (_, fed, useful) in zip(wiring.wires, wiring.living_ends(connections), strict=True):
        parts[wire.name] = (float(np.sum(~(fed & useful))), float(len(fed)))
    return _shares(parts)


def paths(case: Case) -> Values:
    """log10(1 + number of paths of living weights from an input to an output)."""
    wiring = Wiring.of(case.a.mask, case.network)
    return {WHOLE: wiring.log_paths(wiring.connections(case.a.living()))}


def components(case: Case) -> Values:
    """Connected components that hold a weight, of each layer alone and of the whole network."""
    wiring = Wiring.of(case.a.mask, case.network)
    connections = wiring.connections(case.a.living())
    sizes: dict[int, int] = {}
    for wire, matrix in zip(wiring.wires, connections, strict=True):
        sizes |= {wire.target: matrix.shape[0], wire.source: matrix.shape[1]}
    first = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    ends = [np.nonzero(matrix) for matrix in connections]
    found = {
        wire.name: _components(rows, matrix.shape[0] + columns)
        for wire, matrix, (rows, columns) in zip(wiring.wires, connections, ends, strict=True)
    }
    rows = [first[wire.target] + end[0] for wire, end in zip(wiring.wires, ends, strict=True)]
    columns = [first[wire.source] + end[1] for wire, end in zip(wiring.wires, ends, strict=True)]
    return {**found, WHOLE: _components(np.concatenate(rows), np.concatenate(columns))}


def _components(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """How many connected components the edges between these nodes make."""
    nodes, ends = np.unique(np.concatenate([one, other]), return_inverse=True)
    edges = np.ones(len(one)), tuple(ends.reshape(2, -1))
    count, _ = connected_components(coo_array(edges, shape=(len(nodes), len(nodes))), directed=False)
    return float(count)


def chains(case: Case) -> Values:
    """Pairs of living weights of which the second reads the hidden unit that the first writes.

    Of the three-node patterns of a layered network, stars are fixed by the degrees in a layer, and chains by the
    degrees of hidden units on both sides; so rewiring, which keeps degrees, keeps the number of all of them. What is
    left to chance is whether units with many inputs are those with many outputs: the null puts units in random
    order. The layer is the one that writes the units.
    """
    wiring = Wiring.of(case.a.mask, case.network)
    connections = list(zip(wiring.wires, wiring.connections(case.a.living()), strict=True))
    found: Values = {wire.name: 0.0 for wire in wiring.wires if wire.target != OUTPUT}
    for place, (first, writes) in enumerate(connections):
        for second, reads in connections[place + 1 :]:
            if second.source == first.target != INPUT:
                found[first.name] += float(writes.sum(axis=1) @ reads.sum(axis=0))
    return {**found, WHOLE: sum(found.values())} if found else {}


_own = partial(Measure, family="topology", reads="mask", subjects=1, wired=True)
_anywhere = ("layer-shuffle", "unit-shuffle")

MEASURES.register(
    "effective-density",
    "one ticket: weights on a path from input to output, of all weights (Paganini & Forde 2020, App. C)",
)(_own(effective_density, nulls=_anywhere))
MEASURES.register("dead-units", "one ticket: share of units on no path from input to output (house measure)")(
    _own(dead_units, nulls=_anywhere)
)
MEASURES.register("paths", "one ticket: log10 of 1 + paths from input to output (house measure)")(
    _own(paths, nulls=_anywhere)
)
MEASURES.register("components", "one ticket: connected components that hold a weight (scipy.sparse.csgraph)")(
    _own(components, nulls=("layer-shuffle",))
)
MEASURES.register(
    "chains",
    "one ticket: pairs of weights in a row through a hidden unit, three-node motifs (Milo et al. 2002)",
)(_own(chains, nulls=("unit-shuffle",)))
