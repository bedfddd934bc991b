"""Gradual pruning: densities between the first and the last, for pruning while a network trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from tombola.errors import UserError


def cubic_density(iteration: int, begin: int, end: int, initial: float, final: float) -> float:
    """Density at an iteration: `initial` up to `begin`, `final` from `end` on, fast at first and slower towards the end
    in between: final + (initial - final) * (1 - progress)^3 (Zhu & Gupta 2017, section 3).

    Raises UserError unless begin < end and 0 <= final <= initial <= 1.
    """
    if not 0 <= final <= initial <= 1:
        raise UserError(
            f"gradual pruning from density {initial} to {final}, expected 1 >= first >= last >= 0"
        )
    return float(final + (initial - final) * _to_go(iteration, begin, end))


def cubic_counts(
    iteration: int, begin: int, end: int, initial: Mapping[str, int], final: Mapping[str, int]
) -> dict[str, int]:
    """The same for counts, such as two rungs of a ladder: what `prune_to` takes. Rounded half up, and exactly `final`
    at the end; counts never rise from an iteration to a later one.

    Raises UserError unless begin < end, and for labels or counts of `final` that `initial` does not have.
    """
    for label in {**initial, **final}:
        if label not in initial or label not in final or not 0 <= final[label] <= initial[label]:
            raise UserError(
                f"gradual pruning of '{label}' from {initial.get(label, 'none')} to {final.get(label, 'none')}, "
                "expected a last count between 0 and the first"
            )
    share = _to_go(iteration, begin, end)
    return {
        label: math.floor(final[label] + (initial[label] - final[label]) * share + Fraction(1, 2))
        for label in initial
    }


def _to_go(iteration: int, begin: int, end: int) -> Fraction:
    """(1 - progress)^3, exactly: 1 up to `begin`, 0 from `end` on."""
    if begin >= end:
        raise UserError(f"gradual pruning from iteration {begin} to {end}, expected a later end")
    left = Fraction(end - min(max(iteration, begin), end), end - begin)
    return left**3
