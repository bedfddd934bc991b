"""Matching of hidden units: two general searches over permutations, on arrays by name.

Arrays are [outputs, inputs, ...]; what they hold (weights, masks, signs) is the caller's choice. A permutation
found here relabels the second network: unit `p[i]` of it stands where unit `i` of the first does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tombola.alignment.network import Network, Permutation, Permutations, spread

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.float64]]
Similarity = Callable[[Floats, Floats], Floats]
"""Rows [units, features] of one and of the other -> how alike each is to each, [units, units]."""

OUTPUTS, INPUTS = 0, 1
GAIN = 1e-12
"""A new matching must be better by this share of what was there: less is rounding, and would never end."""


def inner(a: Floats, b: Floats) -> Floats:
    """Inner products of rows."""
    return a @ b.T


def assigned(similarity: Floats) -> Permutation:
    """The one-to-one matching of rows to columns with the largest sum (linear assignment)."""
    from scipy.optimize import linear_sum_assignment  # here, where it is needed: it takes long to import

    return np.asarray(linear_sum_assignment(similarity, maximize=True)[1], dtype=np.intp)


def forward(
    a: Arrays, b: Arrays, network: Network, similarity: Similarity, favours: Sequence[Floats] | None = None
) -> Permutations:
    """Match layer by layer from the input: units by their incoming rows, in the order found so far.

    `favours`, for each group [units, units], are added to the similarities.

    A group of units that several layers write to (a residual stream) is matched by those of them whose inputs
    are matched already. Outputs keep their places.
    """
    found: dict[int, Permutation] = {}
    while len(found) < len(network.groups):
        group, names = _next(a, network, found)
        known = tuple(found.get(index, np.arange(each.size)) for index, each in enumerate(network.groups))
        scores = np.zeros((network.groups[group].size,) * 2) if favours is None else favours[group]
        for name in names:
            axes = network.axes[name]
            theirs = relabelled(b, name, network, known, OUTPUTS)
            scores = scores + similarity(
                *(rows_of(array, OUTPUTS, axes[OUTPUTS][1]) for array in (a[name], theirs))
            )
        found[group] = assigned(scores)
    return tuple(found[index] for index in range(len(network.groups)))


def _next(arrays: Arrays, network: Network, found: Mapping[int, Permutation]) -> tuple[int, list[str]]:
    """A group that is not matched yet, and the names of the arrays it can be matched by."""
    writers: dict[int, list[str]] = {}
    for name in arrays:
        axes = network.axes.get(name, {})
        group = axes[OUTPUTS][0] if OUTPUTS in axes else None
        source = axes[INPUTS][0] if INPUTS in axes else None
        if group is not None and group not in found and (source is None or source in found):
            writers.setdefault(group, []).append(name)
    if writers:
        return min(writers.items())
    return min(set(range(len(network.groups))) - found.keys()), []


class Gains:
    """What matching unit i with unit j of a group adds to the sum of products, [units, units].

    The part of each tensor is kept until the units at its other axes are in another order, so that a step of
    coordinate descent reads again only what the steps before it have changed.
    """

    def __init__(self, a: Arrays, b: Arrays, network: Network) -> None:
        self.a, self.b, self.network = a, b, network
        self._rows: dict[tuple[str, int], tuple[Floats, Floats]] = {}
        self._parts: dict[tuple[str, int], tuple[list[Permutation], Floats]] = {}

    def of(self, permutations: Permutations, group: int) -> Floats:
        """The gains of a group while the others are in the order of the permutations."""
        scores = np.zeros((self.network.groups[group].size,) * 2)
        for name, axis, repeat in places(self.a, self.network, group):
            scores += self._part(name, axis, repeat, permutations)
        return scores

    def _part(self, name: str, axis: int, repeat: int, permutations: Permutations) -> Floats:
        """What one axis of a tensor adds."""
        others = {
            other: (permutations[index], positions)
            for other, (index, positions) in self.network.axes[name].items()
            if other != axis
        }
        orders = [order for order, _ in others.values()]
        if (name, axis) in self._parts:
            known, part = self._parts[name, axis]
            if all(old is new for old, new in zip(known, orders, strict=True)):
                return part
        if (name, axis) not in self._rows:
            front = np.ascontiguousarray(np.moveaxis(self.b[name], axis, 0))
            self._rows[name, axis] = rows_of(self.a[name], axis, repeat), front
        mine, theirs = self._rows[name, axis]
        for other, (order, positions) in others.items():  # axes before the one in front have moved by one
            theirs = np.take(theirs, spread(order, positions), other + (other < axis))
        part = inner(mine, theirs.reshape(len(mine), -1))
        self._parts[name, axis] = orders, part
        return part


def descend(gains: Gains, start: Permutations, rng: np.random.Generator) -> Permutations:
    """Coordinate descent on the sum of products of matched entries (Ainsworth et al. 2023, section 3.2).

    One group is matched anew while the others stay, in random order, until no group can make the sum larger.
    Where no tensor lists a group on both axes each step is the best there is; where one does, the step is best
    for one axis and is taken only if it makes the whole sum larger. So it always ends.
    """
    a, b, network = gains.a, gains.b, gains.network
    permutations, everyone = start, frozenset(range(len(start)))
    twice = {group for group in everyone if _lists_twice(a, network, group)}
    waiting = set(everyone)  # groups for which something that they are matched by has changed
    while waiting:
        for group in map(int, rng.permutation(len(start))):
            if group not in waiting:
                continue
            waiting.discard(group)
            scores = gains.of(permutations, group)
            better = assigned(scores)
            tried = (*permutations[:group], better, *permutations[group + 1 :])
            if group in twice:
                before, after = (_matched(a, b, network, which, group) for which in (permutations, tried))
            else:  # the scores are those of the sum itself
                units = np.arange(len(better))
                before, after = scores[units, permutations[group]], scores[units, better]
            if after.sum() - before.sum() > GAIN * np.abs(before).sum():
                permutations, waiting = tried, set(everyone - ({group} - twice))
    return permutations


def total(a: Arrays, b: Arrays, network: Network, permutations: Permutations) -> float:
    """The sum of products of matched entries, over all arrays that list units."""
    return sum(
        float(np.vdot(a[name], relabelled(b, name, network, permutations, None)))
        for name in a
        if name in network.axes
    )


def _lists_twice(arrays: Arrays, network: Network, group: int) -> bool:
    """Whether some array lists the group on both axes, so that a step of its own is not its last."""
    names = [name for name, _, _ in places(arrays, network, group)]
    return len(set(names)) < len(names)


def _matched(a: Arrays, b: Arrays, network: Network, permutations: Permutations, group: int) -> Floats:
    """The sums of products of matched entries, one for each tensor that lists the group."""
    names = {name for name, _, _ in places(a, network, group)}
    return np.array(
        [np.vdot(a[name], relabelled(b, name, network, permutations, None)) for name in sorted(names)]
    )


def places(arrays: Arrays, network: Network, group: int) -> Iterator[tuple[str, int, int]]:
    """The (name, axis, positions per unit) that list a group among the arrays."""
    for name in arrays:
        for axis, (index, repeat) in network.axes.get(name, {}).items():
            if index == group:
                yield name, axis, repeat


def relabelled(b: Arrays, name: str, network: Network, permutations: Permutations, but: int | None) -> Floats:
    """The array in the order of the permutations, except along the axis that is being matched."""
    array = b[name]
    for axis, (group, repeat) in network.axes[name].items():
        if axis != but:
            array = np.take(array, spread(permutations[group], repeat), axis)
    return array


def rows_of(array: NDArray[Any], axis: int, repeat: int) -> NDArray[Any]:
    """One row for each unit of an axis: [units, everything else]."""
    front = np.moveaxis(array, axis, 0)
    return front.reshape(len(front) // repeat, -1)


Colours = NDArray[np.uint64]
TIE = 1e-7
"""What equal colours add to the similarity of two units: enough to decide between equal sums, and no more."""


def ties(a: Arrays, b: Arrays, network: Network) -> list[Floats]:
    """For each group [units, units] what `forward` favours: `TIE` where two units have one colour."""
    mine, theirs = (colours(signs, network) for signs in (a, b))
    return [TIE * (x[:, None] == y[None, :]) for x, y in zip(mine, theirs, strict=True)]


def colours(signs: Arrays, network: Network) -> list[Colours]:
    """For each group a colour of every unit, 64 bits, from ternary arrays [outputs, inputs, ...]."""
    found = [np.full(group.size, index + 1, dtype=np.uint64) for index, group in enumerate(network.groups)]
    for _ in range(2 * len(found)):  # what a unit is connected to reaches from one end to the other and back
        found = [_mixed(found[group] + _seen(signs, network, found, group)) for group in range(len(found))]
    return found


def _seen(signs: Arrays, network: Network, now: list[Colours], group: int) -> Colours:
    """The sum, over the connections of each unit, of a number for their place, sign and other end."""
    total = np.zeros(network.groups[group].size, dtype=np.uint64)
    for order, (name, axis, repeat) in enumerate(places(signs, network, group)):
        ends = rows_of(_other_ends(signs[name], network, now, name, axis), axis, repeat)[0]
        rows = rows_of(signs[name], axis, repeat)
        for sign in (1, -1):
            number = _mixed(ends + np.uint64(4 * order + 2 + sign))
            total = total + (rows == sign).astype(np.uint64) @ number
    return total


def _other_ends(array: Floats, network: Network, now: list[Colours], name: str, axis: int) -> Colours:
    """For each entry a number for its place along all axes but one: colours of units, else where it is."""
    number = np.zeros(array.shape, dtype=np.uint64)
    for other, size in enumerate(array.shape):
        if other != axis:
            place = _mixed(np.arange(size, dtype=np.uint64))
            if other in network.axes[name]:
                group, repeat = network.axes[name][other]
                units = spread(np.arange(network.groups[group].size), repeat) // repeat
                place = now[group][units] + _mixed(np.arange(size, dtype=np.uint64) % np.uint64(repeat))
            shape = [1] * array.ndim
            shape[other] = size
            number = _mixed(number + place.reshape(shape))
    return number


def _mixed(numbers: Colours) -> Colours:
    """Spread over 64 bits, so that sums of different numbers differ (the finaliser of SplitMix64)."""
    x = numbers + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
