"""What is saved by every other way to a ticket of a level, against the ordinary ladder, and whether it is as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tombola.analysis.costs import AMOUNTS
from tombola.lottery.arms.catalog import TICKET
from tombola.runs.results import by_replicate
from tombola.seeds import stream
from tombola.stats.holm import holm
from tombola.stats.paired import Test, paired, smallest
from tombola.stats.ratio import Ratio, ratio_interval

MARGIN = 0.01
"""How much accuracy may be lost (0..1) by a ticket that counts as equally good."""
ALPHA = 0.05
ACCURACY = "early_stop_test_accuracy"
Against = Literal["ticket", "dense"]
"""What accuracy is held against: the ordinary ticket of the level, or the dense network, which a ticket often beats."""
Pair = tuple[float, float]


@dataclass(frozen=True)
class Saving:
    """An arm at a level beside the ordinary ticket of that level, over the n replicates that have both.

    `difference` is the mean of its test accuracy at early stop less that of the ticket or the dense network, whichever
    it is `against`, from `low` to `high`; `p` that of the claim that it is above -`margin` (by `test`, corrected by
    Holm over all rows), and `as_good` whether that is at most 0.05. `means` are its whole costs, `alone` the same with
    nothing shared out, and `ratios` these over the ladder's with Fieller's interval; None where there are fewer than
    three replicates, or no number. `lenders` are those that several replicates take from: it holds for these.
    """

    arm: str
    level: int
    density: float
    n: int
    accuracy: float
    difference: float
    low: float | None
    high: float | None
    test: Test
    p: float
    as_good: bool
    margin: float
    against: Against
    lenders: str
    means: Mapping[str, float | None]
    alone: Mapping[str, float | None]
    ratios: Mapping[str, Ratio | None]


def savings_of(
    costs: pl.DataFrame, seed: int, margin: float = MARGIN, against: Against = "ticket"
) -> list[Saving]:
    """Every arm at every level, the ticket among them, in accuracy against the ticket or the dense network and in cost
    against the ticket; `costs` are those of `costs_of`. None where they are of another metric than accuracy, of which
    a margin is not known."""
    if ACCURACY not in costs.columns:
        return []
    beside, values = [], Values(costs)
    for arm, level in sorted(
        costs.filter(pl.col("level") > 0).select("arm", "level").unique().iter_rows(),
        key=lambda x: (x[1], x[0]),
    ):
        both = values.paired(ACCURACY, (arm, level), (TICKET, 0 if against == "dense" else level))
        if both:
            beside.append((arm, level, *map(tuple, zip(*both, strict=True))))
    asked = sum(arm != against for arm, *_ in beside)
    found = []
    for arm, level, mine, theirs in beside:
        test = _test(len(mine), asked)
        rng = stream(seed, "saving", arm, level)
        found.append((test, paired(mine, theirs, test, "greater", margin, rng)))
    corrected = iter(
        holm(
            [
                1.0 if one.p is None else one.p
                for (arm, *_), (_, one) in zip(beside, found, strict=True)
                if arm != against
            ]
        )
    )
    rows = []
    for (arm, level, mine, _), (test, one) in zip(beside, found, strict=True):
        p = 0.0 if arm == against else next(corrected)  # the ticket is as good as itself
        here = costs.filter((pl.col("arm") == arm) & (pl.col("level") == level) & (pl.col("status") == "ok"))
        rows.append(
            Saving(
                arm=arm,
                level=level,
                density=float(here["density"].mean()),  # type: ignore[arg-type]
                n=len(mine),
                accuracy=one.mean_a or 0.0,
                difference=one.difference or 0.0,
                low=one.low,
                high=one.high,
                test=test,
                p=p,
                as_good=p <= ALPHA,
                margin=margin,
                against=against,
                lenders=str(here["lenders"].first() or ""),
                means={amount: _mean(values.beside_ticket(amount, arm, level)) for amount in AMOUNTS},
                alone={
                    amount: _mean(values.beside_ticket(f"alone_{amount}", arm, level)) for amount in AMOUNTS
                },
                ratios={amount: _ratio(values.beside_ticket(amount, arm, level)) for amount in AMOUNTS},
            )
        )
    return rows


def _test(n: int, asked: int) -> Test:
    """The exact test where n replicates can decide one of so many questions by it, else the t-test: eight of
    them cannot give less than 1/256, which is above 0.05 after Holm's correction from thirteen questions on. It
    depends on numbers that are known beforehand, not on what was found."""
    return "sign-flip" if asked * smallest("sign-flip", n, "greater") <= ALPHA else "t"


class Values:
    """What was found in each replicate, by arm and level."""

    def __init__(self, costs: pl.DataFrame) -> None:
        self._costs = costs
        self._of = cache(self._by_place)

    def paired(self, value: str, mine: tuple[str, int], theirs: tuple[str, int]) -> list[Pair]:
        """The value at two (arm, level) of each replicate that has both."""
        there = self._of(value)
        if mine not in there or theirs not in there:
            return []
        (one, ours), (other, others) = there[mine], there[theirs]
        _, i, j = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        return list(zip(ours[i].tolist(), others[j].tolist(), strict=True))

    def beside_ticket(self, value: str, arm: str, level: int) -> list[Pair]:
        """(The arm's, the ticket's) value of each replicate that has both."""
        return self.paired(value, (arm, level), (TICKET, level))

    def _by_place(self, value: str) -> dict[tuple[Any, ...], tuple[NDArray[Any], NDArray[Any]]]:
        """(arm, level) -> the replicates that have a value, and their values."""
        columns = by_replicate(self._costs, value).select("arm", "level", "replicate", value)
        parts = columns.partition_by("arm", "level", as_dict=True, include_key=False)
        return {
            place: (part["replicate"].to_numpy(), part[value].to_numpy()) for place, part in parts.items()
        }


def _mean(both: Sequence[Pair]) -> float | None:
    return sum(mine for mine, _ in both) / len(both) if both else None


def _ratio(both: Sequence[Pair]) -> Ratio | None:
    found = ratio_interval(*zip(*both, strict=True)) if both else None
    return found and replace(found, low=max(found.low, 0.0))  # no cost is below nothing
