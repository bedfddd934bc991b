"""The picture of README and Start beside a run of today: what an arm does has changed without it once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import tombola
from tombola.report.page.compose import write_reports

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_picture_of_quick_is_that_of_a_run(tmp_path: Path) -> None:
    """quick-arms.csv holds the numbers of quick-arms.png; on another processor networks differ in their rounding, and
    means of 16 by a few tenths of a point at most."""
    run = tombola.run(tombola.load_study("quick"), out=tmp_path)
    write_reports([run], tmp_path / "report")
    now = pl.read_csv(tmp_path / "report" / "figures" / "arms.csv")
    then = pl.read_csv(DOCS / "quick-arms.csv")
    assert set(now["arm"]) == set(then["arm"])
    both = now.join(then, on="arm", suffix="_then")
    apart = both.filter((pl.col("mean") - pl.col("mean_then")).abs() > 0.3)
    assert apart.is_empty(), f"draw docs/quick-arms.png and .csv anew: {apart}"
