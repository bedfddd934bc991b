"""What the results say of arms at a level, replicate by replicate, and how they are tested against one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.runs.results import by_replicate
from tombola.runs.stops import COLUMN, STOP
from tombola.stats.paired import Test, against_claim, paired, smallest, together
from tombola.stats.permutation import Contrasted, Direction, opposites
from tombola.stats.sign import sign_test
from tombola.study.claims import DENSE, with_gap

SIGNS = (1, -1, -1, 1)
"""How the arms of a contrast count, of two or of four."""


@dataclass(frozen=True)
class Side:
    """An arm at a level: replicate -> value, its draws averaged, and how many these are.

    `unreached` are the replicates whose value is the least it can be: an early stop that is the last evaluation of
    any of the draws. `failed` are those whose cells all have no number (collapsed, diverged), `left_out` counts such
    cells.
    """

    arm: str
    values: dict[int, float]
    draws: dict[int, int] = field(default_factory=dict)
    unreached: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    left_out: int = 0


def place_of(arm: str, level: int) -> tuple[str, int]:
    """The arm and level of the cells that an arm of a hypothesis means at a level."""
    return (TICKET, 0) if arm == DENSE else (arm, level)


def side(frame: pl.DataFrame, quantity: str, level: int, arm: str) -> Side:
    """An arm of a hypothesis at a level, from results."""
    name, at = place_of(arm, level)
    here = frame.filter((pl.col("arm") == name) & (pl.col("level") == at))
    here = with_gap(here).with_columns(pl.col(pl.Float64).fill_nan(None))
    values: dict[int, float] = dict(by_replicate(here, quantity).select("replicate", quantity).iter_rows())
    has = (pl.col("status") == "ok") & pl.col(quantity).is_not_null()
    known = here.filter(has)
    late = known.filter(pl.col(COLUMN)) if quantity == STOP and COLUMN in known.columns else known.clear()
    return Side(
        arm,
        values,
        dict(known.group_by("replicate").len().iter_rows()),
        frozenset(late["replicate"]),
        frozenset(here["replicate"]) - frozenset(values),
        here.height - known.height,
    )


def shared(sides: Sequence[Side]) -> list[int]:
    """The replicates in which all arms have a value, ascending."""
    return sorted(set.intersection(*(set(each.values) for each in sides)))


def contrasts(sides: Sequence[Side], replicates: Sequence[int]) -> list[float]:
    """a - b of each replicate, of four arms (a - b) - (c - d)."""
    return [sum(sign * each.values[r] for sign, each in zip(SIGNS, sides, strict=False)) for r in replicates]


@dataclass(frozen=True)
class Compared:
    """What a test found over n replicates, the smallest p that so many can give, p of the claim's opposite (None
    where it has none); by which test, and what stands against an answer."""

    found: Contrasted
    n: int
    p_smallest: float
    p_opposite: float | None
    test: str
    why: str = ""


def compared(
    sides: Sequence[Side],
    test: Test,
    direction: Direction,
    margin: float,
    ways: Callable[[], np.random.Generator],
) -> Compared:
    """Test a - b, or (a - b) - (c - d) of four arms, over the replicates that all of them have, at least one.

    Where a value is not reached there is no mean to estimate and no symmetry to count on, so there is no interval and
    the sign test takes the place of the other: `difference` is that of the values as far as training went.
    """
    both = shared(sides)
    values = [np.array([each.values[r] for r in both]) for each in sides]
    a, b = (values[0] - values[1], values[2] - values[3]) if len(values) == 4 else values
    how = list(a), list(b), test, direction, margin
    found = paired(*how, ways())
    if not any(each.unreached.intersection(both) for each in sides):
        why = "" if found.p is not None else _no_t(len(both))
        least = smallest(test, len(both), direction)
        return Compared(found, len(both), least, against_claim(*how, ways), test, why)
    low, high = _ranges(sides, both)
    found = replace(found, low=None, high=None, effect=None, p=sign_test(low, high, direction, margin))
    p_opposite = together([sign_test(low, high, *other) for other in opposites(direction, margin)])
    least = min((1 + (direction == "different")) / 2 ** len(both), 1.0)
    return Compared(found, len(both), least, p_opposite, "sign")


def _no_t(n: int) -> str:
    return "one replicate has no t-test" if n == 1 else "the paired differences do not vary, so there is no t"


def _ranges(sides: Sequence[Side], replicates: Sequence[int]) -> tuple[list[float], list[float]]:
    """Between what numbers the difference of each replicate lies, where values may be larger than they were seen."""
    low, high = [], []
    for r in replicates:
        ends = [(each.values[r], math.inf if r in each.unreached else each.values[r]) for each in sides]
        terms = [(sign * end[0], sign * end[1]) for sign, end in zip(SIGNS, ends, strict=False)]
        low.append(sum(min(term) for term in terms))
        high.append(sum(max(term) for term in terms))
    return low, high
