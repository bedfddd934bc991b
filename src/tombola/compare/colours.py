"""Colours of units: equal for units that have the same place in two networks, whatever the order of units.

Colour refinement (Weisfeiler & Leman 1968): every unit starts with the colour of its group, and takes again and
again a colour made of its own and of those of the units it is connected to, with the signs and places of the
connections. Inputs and outputs of the network have colours of their own, since they keep their places. Two
units of one colour are, but for rare symmetric wirings, ones that can be exchanged without a difference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tombola.compare.matching import Arrays, Floats, places, rows_of
from tombola.compare.network import Network, spread

Colours = NDArray[np.uint64]


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
