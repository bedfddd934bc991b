"""The picture of what networks say, from hand-made rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from support.report_frames import tables
from tombola.comparison.table import SCHEMA
from tombola.report.collect import _ladder, _with_cells
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import rows, save
from tombola.report.tables import NothingToDrawError, Tables

Row = tuple[
    str, str, str, str, str, float, float | None
]  # cells a and b, layer, measure, alignment, value, chance


def given(*found: Row) -> Tables:
    """Tables of a run whose comparison left these rows."""
    full = [
        (f"run:{a}", f"run:{b}", layer, measure, "end", aligned, None, 0, value, chance, None, None)
        for a, b, layer, measure, aligned, value, chance in found
    ]
    pairs = _with_cells(pl.DataFrame(full, schema=SCHEMA, orient="row"), "run")
    return replace(tables(), pairs=pairs.join(_ladder(tables()), on="level_a", how="left"))


A, B, C = (f"r{r}/L01/ticket/0" for r in range(3))
LEFT, RIGHT = (f"r{r}/L01/reinit/0" for r in range(2))


def test_pairs_of_an_arm_are_averaged_measure_by_measure() -> None:
    frame = rows(
        FIGURES["function"](
            given(
                (A, B, "all", "disagreement", "raw", 0.02, 0.04),
                (A, C, "all", "disagreement", "raw", 0.06, 0.08),
                (LEFT, RIGHT, "all", "disagreement", "raw", 0.05, 0.07),
                (A, LEFT, "all", "disagreement", "raw", 0.9, 0.9),  # two arms
                (A, B, "fc1.weight", "cka", "raw", 0.9, 0.9),  # one layer
                (A, B, "all", "cka", "mask", 0.9, 0.9),  # aligned
                (A, B, "all", "jaccard", "raw", 0.9, 0.9),  # of masks
            )
        )
    )
    assert set(frame["measure"]) == {"disagreement"}
    ticket, reinit = (frame.filter(arm=arm).to_dicts()[0] for arm in ("ticket", "reinit"))
    assert (ticket["value"], ticket["expected"], ticket["pairs"], ticket["density"]) == (0.04, 0.06, 2, 50)
    assert (reinit["value"], reinit["expected"], reinit["pairs"]) == (0.05, 0.07, 1)


def test_a_barrier_has_no_chance_and_is_shown(tmp_path: Path) -> None:
    chart = FIGURES["function"](
        given((A, B, "all", "barrier", "raw", 0.25, None), (A, B, "all", "cka", "raw", 0.5, 0.1))
    )
    assert set(rows(chart)["measure"]) == {"barrier", "cka"}
    text = chart.to_dict()["description"]
    assert "barrier 0.25. cka 0.5, by chance 0.1." in text
    assert "ticket at 50%" in text
    save(chart, tmp_path / "function.svg")
    assert (tmp_path / "function.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "found", [given(), given((A, B, "all", "jaccard", "raw", 0.5, 0.4)), replace(tables(), pairs=None)]
)
def test_without_it_the_command_is_named(found: Tables) -> None:
    with pytest.raises(NothingToDrawError, match="tombola compare RUN"):
        FIGURES["function"](found)
