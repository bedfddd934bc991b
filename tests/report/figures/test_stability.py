"""The pictures of paths: means over replicates by hand, panels and lines, and what cannot be drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from support.report_frames import HALF, tables
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import compact, rows
from tombola.report.figures.stability import mean_paths
from tombola.report.tables import NothingToDrawError, Tables


def paths(levels: int = 3, replicates: int = 2) -> pl.DataFrame:
    """Errors 0.1, 0.2 + 0.1 level, 0.1 along the path of copies, 0.02 more a replicate; half for `levels`."""
    found: list[dict[str, Any]] = []
    for level in range(levels):
        for r in range(replicates):
            for kind, scale in (("instability", 1.0), ("levels", 0.5)):
                for alpha, error in ((0.0, 0.1), (0.5, 0.2 + 0.1 * level), (1.0, 0.1)):
                    for pair, shift in (("x", -0.01), ("y", 0.01)):
                        keys = {
                            "kind": kind,
                            "replicate": r,
                            "level": level,
                            "arm": "ticket",
                            "density": 0.5**level,
                        }
                        value = scale * (error + 0.02 * r) + shift
                        row = {**keys, "a": pair, "b": "z", "alpha": alpha, "split": "test", "loss": 1.0}
                        found += [{**row, "error": value}, {**row, "split": "train", "error": 0.9}]
    return pl.DataFrame(found)


def with_paths(frame: pl.DataFrame) -> Tables:
    half = {"low": 0.01, "high": 0.05}
    levels = [(0, 1.0), (1, 0.5), (2, 0.25)]
    summary = [
        {"arm": "ticket", "level": level, "density": density, "n": 2, "mean": 0.03 * level, **half}
        for level, density in levels
    ]
    whole = tables()
    return replace(whole, paths=frame, summaries={**whole.summaries, "instability": pl.DataFrame(summary)})


def test_means_and_intervals_by_hand() -> None:
    means = mean_paths(paths(replicates=3))
    row = means.filter(arm="ticket", level=1, alpha=0.5).row(0, named=True)
    # replicates 0.30, 0.32 and 0.34, pairs averaged within them
    assert (row["n"], row["mean"]) == (3, pytest.approx(32))
    assert row["high"] - row["mean"] == pytest.approx(100 * HALF, rel=1e-4)
    other = means.filter(arm="from the level before", level=1, alpha=0.5).row(0, named=True)
    assert other["mean"] == pytest.approx(16)
    assert means["low"].null_count() == 0
    for n in (1, 2):
        assert mean_paths(paths(replicates=n))["low"].null_count() == 2 * 3 * 3


def test_no_error_is_below_zero_nor_its_interval() -> None:
    # 1%, 3% and 5%: mean 3, half 4.97
    low = paths(replicates=3).with_columns(pl.col("error") - 0.09)
    row = mean_paths(low).filter(arm="ticket", level=0, alpha=0.0).row(0, named=True)
    assert (row["mean"], row["low"], row["high"]) == (
        pytest.approx(3),
        0,
        pytest.approx(3 + 100 * HALF, rel=1e-4),
    )


def test_every_kind_has_a_line_of_its_own() -> None:
    frame = paths(1)
    arms = frame.with_columns(kind=pl.lit("arms"), arm=pl.lit("reinit"))
    dense = frame.with_columns(kind=pl.lit("dense"))
    masked = frame.with_columns(kind=pl.lit("pruning"))
    names = set(mean_paths(pl.concat([frame, arms, dense, masked]))["arm"])
    assert names == {
        "ticket", "from the level before", "ticket to reinit", "from dense", "from dense, masked"
    }  # fmt: skip


def test_a_panel_for_each_of_four_levels() -> None:
    chart = FIGURES["connectivity"](with_paths(paths(9)))
    spec = json.loads(compact(chart))
    drawn = rows(chart)
    assert drawn["panel"].n_unique() == 4
    assert set(drawn["arm"]) == {"ticket", "from the level before"}
    assert "test error" in spec["description"]
    assert "dense (100%): " in spec["description"]


def test_stability_against_density() -> None:
    chart = FIGURES["instability"](with_paths(paths()))
    drawn = {row["level"]: row["mean"] for row in rows(chart).to_dicts()}
    assert drawn == {0: 0, 1: pytest.approx(3), 2: pytest.approx(6)}  # points


def test_nothing_was_connected() -> None:
    for name in ("connectivity", "instability"):
        with pytest.raises(NothingToDrawError, match="tombola connect"):
            FIGURES[name](tables())
