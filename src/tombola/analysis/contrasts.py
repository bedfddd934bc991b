"""The tickets of one run against those of another, over replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.runs.results import by_replicate, few
from tombola.runs.stops import STOP, ends_among
from tombola.stats.intervals import FEWEST, cut, interval
from tombola.stats.ratio import ratio_interval
from tombola.study.claims import NEAR
from tombola.text import percent


@dataclass(frozen=True)
class Claim:
    """A paired difference over replicates, ticket minus the other, with its 95% t-interval; or the ratio of their means
    less one.

    `low` and `high` are None below three replicates, and where a value was not reached. `unit` is "pp" (of accuracy)
    or "%" (of iterations), `note` what else a reader must know.
    """

    sentence: str
    n: int
    mean: float
    low: float | None
    high: float | None
    unit: str
    note: str = ""

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        if self.low is None or self.high is None:
            why = f"n = {self.n}" if self.n >= FEWEST else few(self.n)
            return f"{self.sentence}: {self.mean:+.2f} {self.unit} ({why}: no interval){note}"
        verdict = "too close to say" if self.low <= 0 <= self.high else "more" if self.mean > 0 else "less"
        interval = f"[{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.sentence}: {self.mean:+.2f} {self.unit} {interval}, n = {self.n}: {verdict}{note}"


FOUND_AT = 0.2107
"""Density at which the paper's LeNet tickets stop earliest (Frankle & Carbin 2019, section 2)."""


def claims(frame: pl.DataFrame) -> list[Claim]:
    """One claim each: the ticket against the dense network (accuracy, early stop) at the level nearest to 21%
    density, and against every control at the sparsest level where both were trained.

    The levels are fixed by rule, not by looking for the largest difference.
    """
    found: list[Claim] = []
    tickets = frame.filter((pl.col("arm") == "ticket") & (pl.col("level") > 0) & (pl.col("status") == "ok"))
    if tickets.is_empty():
        return found
    near = (
        tickets.with_columns(far=(pl.col("density") - FOUND_AT).abs()).sort("far", "level").row(0, named=True)
    )
    at = percent(near["density"], 1)
    for value, what, unit in (
        ("early_stop_test_accuracy", "test accuracy at early stop", "pp"),
        ("early_stop_iteration", "iterations to early stop", "%"),
    ):
        pairs = _pairs(frame, value, ("ticket", near["level"]), ("ticket", 0))
        places = [("ticket", near["level"]), ("ticket", 0)]
        note = ends_among(frame, places) if value == STOP else ""
        found += claimed(f"ticket at {at} against dense, {what}", pairs, unit, note)
    for arm in sorted(set(frame["arm"]) - {"ticket"}):
        levels = set(frame.filter((pl.col("arm") == arm) & (pl.col("status") == "ok"))["level"])
        both = sorted(levels & set(tickets["level"]))
        if both:
            density = tickets.filter(pl.col("level") == both[-1])["density"].mean()
            pairs = _pairs(frame, "early_stop_test_accuracy", ("ticket", both[-1]), (arm, both[-1]))
            place = f"at {percent(float(density), 1)}"  # type: ignore[arg-type]
            found += claimed(f"ticket {place} against {arm}, test accuracy at early stop", pairs, "pp")
    return found


def _pairs(
    frame: pl.DataFrame, value: str, a: tuple[str, int], b: tuple[str, int]
) -> list[tuple[float, float]]:
    """Values of two (arm, level) in the replicates that have both."""
    table = by_replicate(frame, value)
    sides = [
        dict(
            table.filter((pl.col("arm") == arm) & (pl.col("level") == level))
            .select("replicate", value)
            .iter_rows()
        )
        for arm, level in (a, b)
    ]
    return [(sides[0][r], sides[1][r]) for r in sorted(sides[0].keys() & sides[1].keys())]


def claimed(sentence: str, pairs: list[tuple[float, float]], unit: str, not_reached: str = "") -> list[Claim]:
    """The claim on the paired values of the replicates: their difference in points ("pp"), or the ratio of their means
    less one ("%"), with Fieller's interval; none where there are no pairs. Where some values were `not_reached`, which
    the note then says, there is no interval: nobody knows how much larger they are."""
    n = len(pairs)
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    if unit == "pp" and n:
        values = [100 * (one - other) for one, other in pairs]
        mean = math.fsum(values) / n
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
        limits = interval(mean, deviation, n, (-100.0, 100.0))
    elif n and math.fsum(b) > 0:
        mean = 100 * (math.fsum(a) / math.fsum(b) - 1)
        ratio = ratio_interval(a, b)
        low, high = (None, None) if ratio is None else (100 * (ratio.low - 1), 100 * (ratio.high - 1))
        limits = cut(low, high, (-100.0, math.inf))
    else:
        return []
    return [Claim(sentence, n, mean, *((None, None) if not_reached else limits), unit, not_reached)]


VALUE = "early_stop_test_accuracy"


def contrasts(runs: Mapping[str, pl.DataFrame]) -> list[Claim]:
    """One claim for each run (label -> results) but the first: its ticket against that of the first run, in test
    accuracy at early stop, at the sparsest density that both have.

    Replicate r of one is paired with replicate r of the other: runs of one seed share its initial weights, split and
    order. The level is fixed by that rule, not by looking for the largest difference.
    """
    (first, frame), *others = runs.items()
    ladder, found = _ladder(frame), list[Claim]()
    for label, other in others:
        pairs = _sparsest(ladder, _ladder(other))
        if pairs is not None:
            density, theirs, ours = pairs
            shared = sorted(theirs.keys() & ours.keys())
            sentence = (
                f"{label} against {first}, ticket at {percent(density, 1)}, test accuracy at early stop"
            )
            found += claimed(sentence, [(theirs[r], ours[r]) for r in shared], "pp")
    return found


Rung = tuple[float, dict[int, float]]
"""A density, and the value of each replicate there."""


def _ladder(frame: pl.DataFrame) -> list[Rung]:
    """The ticket's levels below dense, sparsest first."""
    tickets = by_replicate(frame.filter((pl.col("arm") == TICKET) & (pl.col("level") > 0)), VALUE)
    levels = tickets.partition_by("level")
    rungs = [
        (math.fsum(level["density"]) / len(level), dict(level.select("replicate", VALUE).iter_rows()))
        for level in levels
    ]
    return sorted(rungs, key=lambda rung: rung[0])


def _sparsest(
    first: list[Rung], other: list[Rung]
) -> tuple[float, dict[int, float], dict[int, float]] | None:
    """The sparsest rung of the first ladder that the other has as well: density, the other's values, the first's."""
    for density, ours in first:
        for near, theirs in other:
            if abs(math.log(near / density)) <= math.log1p(NEAR):
                return density, theirs, ours
    return None


def diff_results(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Means over replicates for each (arm, level) that both have: arm, level, density (of A), test_a, test_b
    (test accuracy at early stop, 0..1), stop_a, stop_b (early-stop iteration)."""
    return _means(a, "a").join(_means(b, "b").drop("density"), on=["arm", "level"]).sort("level", "arm")


def _means(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    def mean(value: str, name: str) -> pl.DataFrame:
        grouped = by_replicate(frame, value).group_by("arm", "level")
        return grouped.agg(pl.col("density").mean(), pl.col(value).mean().alias(f"{name}_{side}"))

    test = mean("early_stop_test_accuracy", "test")
    return test.join(mean("early_stop_iteration", "stop").drop("density"), on=["arm", "level"])
