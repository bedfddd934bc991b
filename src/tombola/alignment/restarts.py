"""Coordinate descent from several starts: the matching with the largest sum wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tombola.alignment.matching import (
    Arrays,
    Floats,
    Gains,
    assigned,
    descend,
    inner,
    places,
    relabelled,
    rows_of,
    total,
)
from tombola.alignment.network import Network, Permutation, Permutations

RESTARTS = 3
"""Starts of a matching: units as they come, matched inwards, and one random order."""


def best(
    a: Arrays, b: Arrays, network: Network, starts: Iterable[Permutations], rng: np.random.Generator
) -> Permutations:
    """Coordinate descent from each of the starts in turn; of the matchings with the largest sum, the first."""
    gains = Gains(a, b, network)
    found = [descend(gains, start, rng) for start in starts]
    return max(found, key=lambda permutations: total(a, b, network, permutations))


def starts(
    a: Arrays, b: Arrays, network: Network, rng: np.random.Generator, count: int
) -> Iterator[Permutations]:
    """`count` matchings to descend from: units as they come, `inward`, then random orders."""
    if count > 0:
        yield network.identity()
    if count > 1:
        yield inward(a, b, network)
    for _ in range(2, count):
        yield tuple(rng.permutation(group.size) for group in network.groups)


def inward(a: Arrays, b: Arrays, network: Network) -> Permutations:
    """Match group by group from both ends of the network, always the one of which most is known.

    A unit's row of a tensor is known where the units at its other end are matched already, or keep their places. What
    is not known yet is read in order of size, so that what units hold counts and where they hold it does not.
    """
    found: dict[int, Permutation] = {}
    while len(found) < len(network.groups):
        rest = sorted(set(range(len(network.groups))) - found.keys())
        group = max(rest, key=lambda index: _known(a, network, found, index))
        found[group] = assigned(_similarity(a, b, network, found, group))
    return tuple(found[index] for index in range(len(network.groups)))


def _known(arrays: Arrays, network: Network, found: dict[int, Permutation], group: int) -> float:
    """The share of the entries listed by a group whose other ends are known."""
    seen = whole = 0
    for name, axis, _ in places(arrays, network, group):
        whole += arrays[name].size
        seen += arrays[name].size * (not _unknown(name, axis, network, found))
    return seen / whole if whole else 0.0


def _unknown(name: str, axis: int, network: Network, found: dict[int, Permutation]) -> list[int]:
    """The other axes of an array that list units which are not matched yet."""
    return [other for other, (index, _) in network.axes[name].items() if other != axis and index not in found]


def _similarity(a: Arrays, b: Arrays, network: Network, found: dict[int, Permutation], group: int) -> Floats:
    """How alike each unit is to each, [units, units]."""
    known = tuple(found.get(index, np.arange(each.size)) for index, each in enumerate(network.groups))
    scores = np.zeros((network.groups[group].size,) * 2)
    for name, axis, repeat in places(a, network, group):
        mine, theirs = a[name], relabelled(b, name, network, known, axis)
        for other in _unknown(name, axis, network, found):
            mine, theirs = np.sort(mine, axis=other), np.sort(theirs, axis=other)
        scores += inner(rows_of(mine, axis, repeat), rows_of(theirs, axis, repeat))
    return scores
