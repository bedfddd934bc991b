"""The tickets of one run against those of another, over replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.metrics import Metric, metric_in
from tombola.runs.results import by_replicate, few
from tombola.runs.stops import STOP, ends_among
from tombola.stats.intervals import EVERYWHERE, FEWEST, cut, interval
from tombola.stats.ratio import ratio_interval
from tombola.study.claims import NEAR
from tombola.text import percent


@dataclass(frozen=True)
class Claim:
    """A paired difference over replicates, ticket minus the other, with its 95% t-interval; or the ratio of their means
    less one.

    `low` and `high` are None below three replicates, and where a value was not reached. `unit` is "pp" (of accuracy),
    "%" (of iterations) or "" (of other metrics), `note` what else a reader must know.
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
            return f"{self.sentence}: {self._shown(self.mean)}{self._unit} ({why}: no interval){note}"
        verdict = "too close to say" if self.low <= 0 <= self.high else "more" if self.mean > 0 else "less"
        interval = f"[{self._shown(self.low)}, {self._shown(self.high)}]"
        mean = f"{self._shown(self.mean)}{self._unit}"
        return f"{self.sentence}: {mean} {interval}, n = {self.n}: {verdict}{note}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _shown(self, value: float) -> str:
        return f"{value:+z.2f}" if self.unit else f"{value:+z.4f}"


FOUND_AT = 0.2107
"""Density at which the paper's LeNet tickets stop earliest (Frankle & Carbin 2019, section 2)."""


def claims(frame: pl.DataFrame) -> list[Claim]:
    """One claim each: the ticket against the dense network (accuracy, early stop) at the level nearest to 21%
    density, and against every control at the sparsest level where both were trained.

    The levels are fixed by rule, not by looking for the largest difference.
    """
    found: list[Claim] = []
    metric = metric_in(frame.columns)
    tickets = frame.filter((pl.col("arm") == "ticket") & (pl.col("level") > 0) & (pl.col("status") == "ok"))
    if tickets.is_empty():
        return found
    near = (
        tickets.with_columns(far=(pl.col("density") - FOUND_AT).abs()).sort("far", "level").row(0, named=True)
    )
    at = percent(near["density"], 1)
    for value, what, unit in (
        (metric.early_stop, _test_at_early_stop(metric), metric.points.strip()),
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
            pairs = _pairs(frame, metric.early_stop, ("ticket", both[-1]), (arm, both[-1]))
            place = f"at {percent(float(density), 1)}"  # type: ignore[arg-type]
            sentence = f"ticket {place} against {arm}, {_test_at_early_stop(metric)}"
            found += claimed(sentence, pairs, metric.points.strip())
    return found


def _test_at_early_stop(metric: Metric) -> str:
    return f"test {metric.noun} at early stop"


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
    """The claim on the paired values of the replicates: their difference in points ("pp") or as it is (""), or the
    ratio of their means less one ("%"), with Fieller's interval; none where there are no pairs. Where some values were
    `not_reached`, which the note then says, there is no interval: nobody knows how much larger they are."""
    n = len(pairs)
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    if unit != "%" and n:
        scale, within = (100.0, (-100.0, 100.0)) if unit else (1.0, EVERYWHERE)
        values = [scale * (one - other) for one, other in pairs]
        mean = math.fsum(values) / n
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
        limits = interval(mean, deviation, n, within)
    elif n and math.fsum(b) > 0:
        mean = 100 * (math.fsum(a) / math.fsum(b) - 1)
        ratio = ratio_interval(a, b)
        low, high = (None, None) if ratio is None else (100 * (ratio.low - 1), 100 * (ratio.high - 1))
        limits = cut(low, high, (-100.0, math.inf))
    else:
        return []
    return [Claim(sentence, n, mean, *((None, None) if not_reached else limits), unit, not_reached)]


def contrasts(runs: Mapping[str, pl.DataFrame]) -> list[Claim]:
    """One claim for each run (label -> results) but the first: its ticket against that of the first run, in its metric
    on the test set at early stop, at the sparsest density that both have; none for one that is measured otherwise.

    Replicate r of one is paired with replicate r of the other: runs of one seed share its initial weights, split and
    order. The level is fixed by that rule, not by looking for the largest difference.
    """
    (first, frame), *others = runs.items()
    metric = metric_in(frame.columns)
    ladder, found = _ladder(frame, metric), list[Claim]()
    for label, other in others:
        if metric_in(other.columns) is not metric:
            continue
        rungs = _ladder(other, metric)
        pairs = _sparsest(ladder, rungs) if rungs else None
        if pairs is not None:
            density, theirs, ours = pairs
            shared = sorted(theirs.keys() & ours.keys())
            sentence = (
                f"{label} against {first}, ticket at {percent(density, 1)}, {_test_at_early_stop(metric)}"
            )
            found += claimed(sentence, [(theirs[r], ours[r]) for r in shared], metric.points.strip())
    return found


Rung = tuple[float, dict[int, float]]
"""A density, and the value of each replicate there."""


def _ladder(frame: pl.DataFrame, metric: Metric) -> list[Rung]:
    """The ticket's levels below dense, sparsest first."""
    tickets = by_replicate(frame.filter((pl.col("arm") == TICKET) & (pl.col("level") > 0)), metric.early_stop)
    levels = tickets.partition_by("level")
    rungs = [
        (
            math.fsum(level["density"]) / len(level),
            dict(level.select("replicate", metric.early_stop).iter_rows()),
        )
        for level in levels
    ]
    return sorted(rungs, key=lambda rung: rung[0])


def _sparsest(
    first: list[Rung], other: list[Rung]
) -> tuple[float, dict[int, float], dict[int, float]] | None:
    """The sparsest rung of the first ladder that the other has as well: density, the other's values, the first's.

    Two rungs are one where each is the nearest to the other, by their quotient, and they are not too far apart: on
    ladders with small steps several are within that distance.
    """
    for density, ours in first:
        near, theirs = _nearest(other, density)
        if _nearest(first, near)[0] == density and _apart(near, density) <= math.log1p(NEAR):
            return density, theirs, ours
    return None


def _nearest(ladder: list[Rung], density: float) -> Rung:
    return min(ladder, key=lambda rung: _apart(rung[0], density))


def _apart(one: float, other: float) -> float:
    return abs(math.log(one / other))


def diff_results(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Means over replicates for each (arm, level) that both have: arm, level, density (of A), density_b, n_a, n_b (the
    replicates), test_a, test_b (test accuracy at early stop, 0..1, or the metric that both are measured by), stop_a,
    stop_b (early-stop iteration). Raises UserError for two that are measured by different metrics."""
    first, second = metric_in(a.columns), metric_in(b.columns)
    if first is not second:
        raise UserError(
            f"one run is measured by {first.noun} and the other by {second.noun}; expected one metric in both"
        )
    of_b = _means(b, "b").rename({"density": "density_b"})
    return _means(a, "a").join(of_b, on=["arm", "level"]).sort("level", "arm")


def _means(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    def mean(value: str, name: str) -> pl.DataFrame:
        grouped = by_replicate(frame, value).group_by("arm", "level")
        n = pl.len().cast(pl.Int64).alias(f"n_{side}")
        return grouped.agg(pl.col("density").mean(), n, pl.col(value).mean().alias(f"{name}_{side}"))

    test = mean(metric_in(frame.columns).early_stop, "test")
    return test.join(mean("early_stop_iteration", "stop").drop("density", f"n_{side}"), on=["arm", "level"])
