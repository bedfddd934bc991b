"""What is saved by every other way to a ticket of a level, against the ordinary ladder, and whether it is as good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from tombola.analysis.costs import AMOUNTS
from tombola.lottery.arms.catalog import TICKET
from tombola.runs.results import by_replicate
from tombola.seeds import stream
from tombola.stats.holm import holm
from tombola.stats.paired import paired
from tombola.stats.ratio import Ratio, ratio_interval

MARGIN = 0.01
"""How much accuracy may be lost (0..1) by a ticket that counts as equally good."""
ALPHA = 0.05
ACCURACY = "early_stop_test_accuracy"


@dataclass(frozen=True)
class Saving:
    """An arm at a level beside the ordinary ticket of that level, over the n replicates that have both.

    `difference` is the mean of its test accuracy at early stop less the ticket's, from `low` to `high`; `p` that of the
    claim that it is above -`margin` (sign-flip, corrected by Holm over all rows), and `as_good` whether that is below
    0.05. `means` are its whole costs, `alone` the same with nothing shared out, and `ratios` these over the ladder's
    with Fieller's interval; None where there are fewer than three replicates, or no number.
    """

    arm: str
    level: int
    density: float
    n: int
    accuracy: float
    difference: float
    low: float | None
    high: float | None
    p: float
    as_good: bool
    margin: float
    means: Mapping[str, float | None]
    alone: Mapping[str, float | None]
    ratios: Mapping[str, Ratio | None]


def savings_of(costs: pl.DataFrame, seed: int, margin: float = MARGIN) -> list[Saving]:
    """Every arm at every level beside the ticket, the ticket among them; `costs` are those of `costs_of`."""
    found, tests = [], []
    for arm, level in sorted(
        costs.filter(pl.col("level") > 0).select("arm", "level").unique().iter_rows(),
        key=lambda x: (x[1], x[0]),
    ):
        both = _paired(costs, ACCURACY, arm, level)
        if not both:
            continue
        mine, theirs = zip(*both, strict=True)
        test = paired(mine, theirs, "sign-flip", "greater", margin, stream(seed, "saving", arm, level))
        tests.append(1.0 if test.p is None else test.p)
        found.append((arm, level, len(both), test))
    corrected = iter(holm([p for p, (arm, *_) in zip(tests, found, strict=True) if arm != TICKET]))
    rows = []
    for arm, level, n, test in found:
        p = 0.0 if arm == TICKET else next(corrected)
        here = costs.filter((pl.col("arm") == arm) & (pl.col("level") == level) & (pl.col("status") == "ok"))
        rows.append(
            Saving(
                arm=arm,
                level=level,
                density=float(here["density"].mean()),  # type: ignore[arg-type]
                n=n,
                accuracy=test.mean_a or 0.0,
                difference=test.difference or 0.0,
                low=test.low,
                high=test.high,
                p=p,
                as_good=p <= ALPHA,
                margin=margin,
                means={amount: _mean(costs, amount, arm, level) for amount in AMOUNTS},
                alone={amount: _mean(costs, f"alone_{amount}", arm, level) for amount in AMOUNTS},
                ratios={amount: _ratio(costs, amount, arm, level) for amount in AMOUNTS},
            )
        )
    return rows


def _paired(costs: pl.DataFrame, value: str, arm: str, level: int) -> list[tuple[float, float]]:
    """(The arm's, the ticket's) value of each replicate that has both."""
    frame = by_replicate(costs.filter(pl.col("level") == level), value)
    sides = [
        dict(frame.filter(pl.col("arm") == each).select("replicate", value).iter_rows())
        for each in (arm, TICKET)
    ]
    return [(sides[0][r], sides[1][r]) for r in sorted(sides[0].keys() & sides[1].keys())]


def _mean(costs: pl.DataFrame, value: str, arm: str, level: int) -> float | None:
    both = _paired(costs, value, arm, level)
    return sum(mine for mine, _ in both) / len(both) if both else None


def _ratio(costs: pl.DataFrame, value: str, arm: str, level: int) -> Ratio | None:
    both = _paired(costs, value, arm, level)
    found = ratio_interval(*zip(*both, strict=True)) if both else None
    return found and replace(found, low=max(found.low, 0.0))  # no cost is below nothing
