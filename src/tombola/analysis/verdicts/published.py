"""Published numbers beside those of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from tombola.runs.results import summary
from tombola.study.claims import NEAR, Expectation
from tombola.text import percent


@dataclass(frozen=True)
class Checked:
    """An expectation beside what was found: the mean over n replicates with its 95% t-interval, at the level whose
    density is nearest. Nothing was found where no such cell is trained; below three replicates there is no interval."""

    expected: Expectation
    density: float | None = None
    n: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the two means are as near as they should be; None where nothing was found."""
        if self.mean is None:
            return None
        return (
            abs(self.mean - self.expected.value) <= self.expected.tolerance + 1e-12
        )  # a decimal is not exact

    def table(self) -> dict[str, str | float | bool | None]:
        """As JSON: the paper's mean and tolerance, what was found here, and whether they agree."""
        expected = self.expected
        return {
            "quantity": expected.quantity,
            "arm": expected.arm,
            "wanted": expected.density,
            "density": self.density,
            "paper": expected.value,
            "tolerance": expected.tolerance,
            "source": expected.source,
            "here": self.mean,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "agrees": self.agrees,
        }

    @property
    def parts(self) -> tuple[str, str, str]:
        """What was expected, the published number, and the one found here, in words."""
        expected, shown = self.expected, _shown(self.expected.quantity)
        what = f"{expected.arm} at {percent(expected.density, 1)}, {expected.quantity.replace('_', ' ')}"
        paper = f"{shown(expected.value)} ± {shown(expected.tolerance)} in {expected.source}"
        if self.mean is None:
            return what, paper, "not measured here"
        found = shown(self.mean)
        if self.low is not None and self.high is not None:
            found += f" [{shown(self.low)}, {shown(self.high)}]"
        return what, paper, f"here {found}, n = {self.n}"

    def __str__(self) -> str:
        what, paper, here = self.parts
        agrees = {True: ": agrees", False: ": differs", None: ""}[self.agrees]
        return f"{what}: {paper}; {here}{agrees}"


def check(expectations: Sequence[Expectation], bands: dict[str, pl.DataFrame]) -> list[Checked]:
    """Each expectation beside what was found; `bands` has a `summary` for every quantity that is asked for."""
    return [_checked(expected, bands[expected.quantity]) for expected in expectations]


def _checked(expected: Expectation, band: pl.DataFrame) -> Checked:
    far = (pl.col("density") / expected.density).log().abs()
    near = band.filter(pl.col("arm") == expected.arm).with_columns(far=far).sort("far", "level").head(1)
    if near.is_empty() or near["far"].item() > math.log1p(NEAR):
        return Checked(expected)
    row = near.row(0, named=True)
    return Checked(expected, row["density"], row["n"], row["mean"], row["low"], row["high"])


def _shown(quantity: str) -> Callable[[float], str]:
    return (
        (lambda value: percent(value, 2))
        if quantity.endswith("accuracy")
        else (lambda value: f"{value:,.4g}")
    )


def expectations(frame: pl.DataFrame, expected: Sequence[Expectation]) -> list[Checked]:
    """Published numbers beside what was found, see `tombola.study.claims.Expectation`."""
    return check(
        expected, {quantity: summary(frame, quantity) for quantity in {e.quantity for e in expected}}
    )
