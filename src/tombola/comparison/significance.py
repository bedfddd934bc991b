"""A value beside its null: how it is judged, exactly or by draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tombola.alignment.words import WHOLE
from tombola.comparison.measures.base import ROUNDING, Case, Counts, Measure
from tombola.stats.exact import total


@dataclass(frozen=True)
class BesideNull:
    """A value beside what chance gives: `p` is the chance of a value that is at least as alike.

    `n_null` is how many sampled nulls have a value, 0 where the null is known in closed form.
    """

    n_null: int
    value: float
    expected: float
    z: float
    p: float


def judged_exactly(measure: Measure, case: Case) -> dict[str, BesideNull]:
    """The values of each layer and of the whole network against the closed form of the measure's null."""
    tables = measure.additive.tables(case)
    layers = [tables[name] for name in tables if name != WHOLE] or [*tables.values()]  # errors have no layers
    return {
        name: judged_together(measure, layers if name == WHOLE else [counts])
        for name, counts in tables.items()
    }


def judged_together(measure: Measure, layers: Sequence[Counts]) -> BesideNull:
    """The value of some layers together.

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
        return measure.additive.value(varied)

    seen, expected, deviation = measure.additive.at(counts), chance.mean(value), chance.deviation(value)
    z = (seen - expected) / deviation if deviation > ROUNDING else np.nan
    return BesideNull(0, seen, expected, z, np.nan if np.isnan(seen) else chance.at_least(counts[place]))


def judged_by_draws(measure: Measure, case: Case, n: int, rng: np.random.Generator) -> dict[str, BesideNull]:
    """The values of each layer and of the whole network against n draws of counts; layers are independent."""
    assert measure.drawn is not None
    tables = measure.additive.tables(case)
    drawn = {name: measure.drawn(a, b, n, rng) for name, (a, b) in measure.additive.read(case).items()}
    drawn[WHOLE] = np.sum(list(drawn.values()), axis=0)
    return {
        name: judged_by_samples(
            measure.additive.at(counts), measure.additive.value(drawn[name]), measure.alike
        )
        for name, counts in tables.items()
    }


def judged_by_samples(value: float, sampled: Counts, alike: int = 1) -> BesideNull:
    """The value against values of sampled nulls; p counts the sample itself among the nulls, and `alike` is that of a
    measure."""
    drawn = sampled[~np.isnan(sampled)]
    if np.isnan(value) or not len(drawn):
        return BesideNull(len(drawn), value, np.nan, np.nan, np.nan)
    expected = float(drawn.mean())
    deviation = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    as_alike = int(np.sum(alike * (drawn - value) >= -ROUNDING))
    z = (value - expected) / deviation if deviation > ROUNDING else np.nan
    return BesideNull(len(drawn), value, expected, z, (1 + as_alike) / (1 + len(drawn)))
