"""What a measure is: counts of a layer that add up over layers, and the number they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tombola.compare.chance import Chance, heads, shared, total
from tombola.registry import Registry

Layer = NDArray[Any]
"""One tensor of a subject, [outputs, inputs, ...]: bool where masks are read, m * sign(w) where signs are."""
Counts = NDArray[np.float64]
Reads = Literal["mask", "side", "both sides"]

WHOLE = "all"
"""The layer that stands for the whole network: the counts of all layers added up."""


@dataclass(frozen=True)
class Exact:
    """A null in closed form, where units are as they come: the distribution of one count given the others.

    `chance` gives the distribution in one layer; layers are independent, so counts add up over them. `place`
    is where the count stands among the counts. The larger it is, the more alike the two are.
    """

    chance: Callable[[Counts], Chance]
    place: int


@dataclass(frozen=True)
class Measure:
    """A number for a pair of subjects, or for one, in each layer and in the whole network.

    `counts` turns a layer of the two into numbers that add up over layers, `value` turns those into the
    measure (NaN where it has none, e.g. agreement without a common survivor); `value` takes arrays of any
    shape with the counts along the first axis. `null` is what it is judged against unless told otherwise,
    `exact` that null in closed form where there is one. `alike` is -1 where a small value means likeness.
    """

    counts: Callable[[Layer, Layer], Counts]
    value: Callable[[Counts], Counts]
    reads: Reads
    null: str
    exact: Exact | None = None
    subjects: Literal[1, 2] = 2
    alike: Literal[1, -1] = 1
    adjusted: bool = False
    """Whether the table also holds (value - expected) / (1 - expected), under the name `NAME-adjusted`."""

    def at(self, counts: Counts) -> float:
        """The value of one vector of counts."""
        return float(self.value(np.asarray(counts, dtype=np.float64)))


MEASURES: Registry[Measure] = Registry("measure")

ROUNDING = 1e-12
"""Values closer than this are equal: the same sum in another order must count as equal."""


def quotient(numerator: Counts, denominator: Counts) -> Counts:
    """Their quotient, NaN where the denominator is 0."""
    safe = np.where(denominator == 0, np.nan, denominator)
    return np.asarray(numerator / safe, dtype=np.float64)


@dataclass(frozen=True)
class Judged:
    """A value beside what chance gives: `p` is the chance of a value that is at least as alike.

    `n_null` is how many sampled nulls have a value, 0 where the null is known in closed form.
    """

    n_null: int
    value: float
    expected: float
    z: float
    p: float


def judged_exactly(measure: Measure, layers: Sequence[Counts]) -> Judged:
    """The value of some layers together against the closed form of the measure's null.

    The expectation and deviation are those of the value itself, not of the count under it; p is exact, and
    the value is NaN, with everything else, where it is undefined.
    """
    assert measure.exact is not None
    counts = np.sum(layers, axis=0)
    place = measure.exact.place
    chance = total([measure.exact.chance(layer) for layer in layers])

    def value(numbers: Counts) -> Counts:
        varied = np.broadcast_to(counts[:, None], (len(counts), len(numbers))).copy()
        varied[place] = numbers
        return measure.value(varied)

    seen, expected, deviation = measure.at(counts), chance.mean(value), chance.deviation(value)
    z = (seen - expected) / deviation if deviation > ROUNDING else np.nan
    return Judged(0, seen, expected, z, np.nan if np.isnan(seen) else chance.at_least(counts[place]))


def judged_by_samples(measure: Measure, value: float, sampled: Counts) -> Judged:
    """The value against values of sampled nulls; p counts the sample itself among the nulls."""
    drawn = sampled[~np.isnan(sampled)]
    if np.isnan(value) or not len(drawn):
        return Judged(len(drawn), value, np.nan, np.nan, np.nan)
    expected = float(drawn.mean())
    deviation = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    as_alike = int(np.sum(measure.alike * (drawn - value) >= -ROUNDING))
    z = (value - expected) / deviation if deviation > ROUNDING else np.nan
    return Judged(len(drawn), value, expected, z, (1 + as_alike) / (1 + len(drawn)))


def hypergeometric(counts: Counts) -> Chance:
    """The chance of `both` in counts (size, a, b, both): two sets of places, one of them at random."""
    size, a, b = (int(number) for number in counts[:3])
    return shared(size, a, b)


def fair_coin(counts: Counts) -> Chance:
    """The chance of the first of two counts when the second is a number of tosses."""
    return heads(int(counts[1]))


TABLE = Exact(hypergeometric, 3)
COIN = Exact(fair_coin, 0)
