"""What a measure is: a number for each layer and for the whole network, and what chance makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.alignment.words import WHOLE, Side
from tombola.registry import Registry
from tombola.stats.exact import Chance, heads, shared

Layer = NDArray[Any]
"""One tensor of a subject, [outputs, inputs, ...]: bool where masks are read, m * sign(w) where signs are."""
Counts = NDArray[np.float64]
Reads = Literal["mask", "side", "both sides", "dense side", "both dense sides", "outputs", "hidden outputs"]
"""What subjects must hold: their mask alone; the weights of one side, which the measure is taken at in turn, or
of both; such weights of the dense network they come from; or what the trained network answers to examples, with or
without its hidden layers."""
Family = Literal["overlap", "signs", "topology", "weights", "kernels", "function"]
BY_DEFAULT: tuple[Family, ...] = ("overlap", "signs")
"""The families of measures that are taken unless others are asked for: the quick ones."""

Values = dict[str, float]
"""Layer -> value, NaN where it has none, and the whole network's under `WHOLE`. Layers that a measure does not
speak of (a kernel pattern of a linear layer) are left out."""


@dataclass(frozen=True)
class Case:
    """What a measure is taken of: two subjects, b laid over a (or one, as both), at one side (None: at all)."""

    a: Subject
    b: Subject
    side: Side | None
    network: Network

    @property
    def sides(self) -> tuple[Side, Side]:
        """Where a and b are read: both at the side, or without one a at the start and b at the end."""
        return ("start", "end") if self.side is None else (self.side, self.side)


Reader = Callable[[Case], Mapping[str, tuple[Layer, ...]]]
"""What is read of a case in each layer, e.g. the masks of the two."""


def masks(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """The masks of the two."""
    mine, theirs = case.a.living(), case.b.living()
    return {name: (mine[name], theirs[name]) for name in mine}


def own_mask(case: Case) -> dict[str, tuple[Layer]]:
    """The mask of one subject."""
    return {name: (living,) for name, living in case.a.living().items()}


def signs(case: Case) -> dict[str, tuple[Layer, Layer]]:
    """m * sign(w) of the two, at the sides of the case."""
    mine, theirs = (subject.signs(side) for subject, side in zip((case.a, case.b), case.sides, strict=True))
    return {name: (mine[name], theirs[name]) for name in mine}


@dataclass(frozen=True)
class Additive:
    """Numbers of each layer that add up over layers, and the value they stand for.

    `counts` makes them from what is read of a layer, `value` the measure from them (NaN where it has none, e.g.
    agreement without a common survivor); it takes arrays of any shape with the counts along the first axis.
    """

    read: Reader
    counts: Callable[..., Counts]
    value: Callable[[Counts], Counts]

    def tables(self, case: Case) -> dict[str, Counts]:
        """The counts of each layer, and their sum over layers."""
        tables = {name: self.counts(*layers) for name, layers in self.read(case).items()}
        return {**tables, WHOLE: np.sum(list(tables.values()), axis=0)} if tables else {}

    def at(self, counts: Counts) -> float:
        """The value of one vector of counts."""
        return float(self.value(np.asarray(counts, dtype=np.float64)))

    def __call__(self, case: Case) -> Values:
        return {layer: self.at(counts) for layer, counts in self.tables(case).items()}


@dataclass(frozen=True)
class Layerwise:
    """A value of each layer alone; the whole network's is the mean over the layers that have one."""

    read: Reader
    value: Callable[..., float]

    def __call__(self, case: Case) -> Values:
        return with_mean({name: float(self.value(*layers)) for name, layers in self.read(case).items()})


def with_mean(values: Values) -> Values:
    """The values of layers, and their mean over those that have one for the whole network."""
    if not values:
        return {}
    known = [value for value in values.values() if not np.isnan(value)]
    return {**values, WHOLE: float(np.mean(known)) if known else np.nan}


@dataclass(frozen=True)
class Exact:
    """A null in closed form, where units are as they come: the distribution of one count given the others.

    `chance` gives the distribution in one layer; layers are independent, so counts add up over them. `place`
    is where the count stands among the counts. The larger it is, the more alike the two are.
    """

    chance: Callable[[Counts], Chance]
    place: int


Drawn = Callable[[Layer, Layer, int, np.random.Generator], Counts]
"""Draws the counts [counts, n] of n pairs of a layer and a null of the other one, where units are as they come."""


@dataclass(frozen=True)
class Measure:
    """A number for a pair of subjects, or for one, in each layer and in the whole network.

    `of` takes the values, `Additive` and `Layerwise` being its usual forms. `nulls` are what it is judged
    against, each in turn, unless told otherwise; without any it stands alone. `exact` is the first of them in closed
    form where there is one, `drawn` gives its counts where they can be drawn without making the null, both for an
    `Additive` measure.
    `alike` is -1 where a small value means likeness.
    """

    of: Callable[[Case], Values]
    family: Family
    reads: Reads
    nulls: tuple[str, ...]
    exact: Exact | None = None
    drawn: Drawn | None = None
    subjects: Literal[1, 2] = 2
    alike: Literal[1, -1] = 1
    adjusted: bool = False
    """Whether the table also holds (value - expected) / (1 - expected), under the name `NAME-adjusted`."""
    wired: bool = False
    """Whether it follows paths through the network, and so has to know which layer feeds which."""

    ordered: bool = True
    """Whether it depends on the order of hidden units, and so is taken under each alignment."""

    @property
    def null(self) -> str | None:
        """The null that comes first; None for a measure that stands alone."""
        return self.nulls[0] if self.nulls else None

    @property
    def of_outputs(self) -> bool:
        """Whether it reads what trained networks answer, and so needs the examples they are asked."""
        return self.reads in ("outputs", "hidden outputs")

    @property
    def tensorwise(self) -> bool:
        """Whether it reads tensors one by one, so that each may be laid by a matching of its own."""
        return not self.wired and not self.of_outputs

    @property
    def additive(self) -> Additive:
        """Its counts. Only measures of counts have them."""
        assert isinstance(self.of, Additive)
        return self.of


MEASURES: Registry[Measure] = Registry(
    "measure",
    "tombola.comparison.measures",
    asked=("adjusted", "null", "of_outputs", "ordered", "reads", "subjects", "tensorwise"),
)

ROUNDING = 1e-12
"""Values closer than this are equal: the same sum in another order must count as equal."""


def quotient(numerator: Counts, denominator: Counts) -> Counts:
    """Their quotient, NaN where the denominator is 0."""
    safe = np.where(denominator == 0, np.nan, denominator)
    return np.asarray(numerator / safe, dtype=np.float64)


def hypergeometric(counts: Counts) -> Chance:
    """The chance of `both` in counts (size, a, b, both): two sets of places, one of them at random."""
    size, a, b = (int(number) for number in counts[:3])
    return shared(size, a, b)


def fair_coin(counts: Counts) -> Chance:
    """The chance of the first of two counts when the second is a number of tosses."""
    return heads(int(counts[1]))


TABLE = Exact(hypergeometric, 3)
COIN = Exact(fair_coin, 0)
