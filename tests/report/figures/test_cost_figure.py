"""The picture of cost against error, and the table beside it: what they show of made-up numbers."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from support.report_frames import results_frame, tables
from tombola.analysis.savings import Saving
from tombola.report.collect import ways_of
from tombola.report.figures.base import FIGURES
from tombola.report.figures.cost import cost_accuracy
from tombola.report.page.savings import cost_cell, in_short, saving_ledgers
from tombola.report.tables import NothingToDrawError, Tables
from tombola.stats.ratio import Ratio


def costs() -> pl.DataFrame:
    """Three replicates: the ladder at two levels, a route, its control, and an arm beside the ladder."""
    rows = [
        {"replicate": r, "level": level, "arm": arm, "draw": 0, "status": "ok", "density": density, "way": way,
         "early_stop_test_accuracy": accuracy + 0.01 * r, "iterations": 10.0, "operations": operations + r,
         "seconds": 1.0}
        for arm, way, level, density, accuracy, operations in (
            ("ticket", "ticket", 0, 1.0, 0.97, 100.0),
            ("ticket", "ticket", 1, 0.5, 0.96, 150.0),
            ("short", "route", 1, 0.5, 0.95, 60.0),
            ("short-random", "control", 1, 0.5, 0.9, 60.0),
            ("reinit", "beside", 1, 0.5, 0.9, 150.0),
            ("free", "without", 1, 0.5, 0.9, 50.0),
        )
        for r in range(3)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def with_ways(frame: pl.DataFrame) -> Tables:
    return replace(tables(), ways=ways_of(frame))


def test_every_way_to_a_ticket_is_a_line_and_controls_are_none() -> None:
    """Means over replicates: accuracies 0.01 above those of the first, so errors of 2, 3, 4 and 9%; costs 1 above."""
    rows = cost_accuracy(with_ways(costs())).to_dict()["datasets"]
    [points] = rows.values()
    assert {(row["arm"], row["level"]): (row["operations"], row["mean"]) for row in points} == {
        ("ticket", 0): (101.0, 2.0),
        ("ticket", 1): (151.0, 3.0),
        ("short", 1): (61.0, 4.0),
        ("free", 1): (51.0, 9.0),
    }
    half = 4.302653 * 1.0 / 3**0.5  # t of two degrees of freedom, of a deviation of one point
    assert {row["interval"] for row in points if row["arm"] == "short"} == {
        f"{4 - half:.2f} to {4 + half:.2f}"
    }


def test_there_is_none_where_there_is_no_other_way_or_no_cost_is_known() -> None:
    alone = costs().filter(pl.col("arm") == "ticket")
    unknown = costs().with_columns(operations=pl.lit(None, pl.Float64))
    for given in (tables(), with_ways(alone), with_ways(unknown)):
        with pytest.raises(NothingToDrawError, match="no other way to a ticket here than its ladder"):
            cost_accuracy(given)


def test_routes_have_a_colour_among_many_arms_and_only_where_there_are_some() -> None:
    whole = results_frame(3)
    sparsest = whole.filter((pl.col("level") == 2) & (pl.col("arm") == "reinit"))
    names = ["donor", *(f"own-{i}" for i in range(8))]
    plain = tables(pl.concat([whole, *(sparsest.with_columns(arm=pl.lit(name)) for name in names)]))
    for given, expected in ((plain, "controls"), (replace(plain, routes=frozenset({"own-0"})), "routes")):
        chart = FIGURES["arms"](given).to_dict()
        [points] = chart["datasets"].values()
        kinds = {row["what"]: row["kind"] for row in points}
        assert (kinds["own-0"], kinds["own-1"], kinds["donor"]) == (expected, "controls", "takes from donors")
        domains = [
            layer["encoding"].get("color", {}).get("scale", {}).get("domain", []) for layer in chart["layer"]
        ]
        assert any("routes" in domain for domain in domains) == (expected == "routes")


def saving(arm: str, ratio: Ratio | None, p: float = 0.01, lenders: str = "") -> Saving:
    amounts = dict.fromkeys(("iterations", "operations", "seconds"), 1234.0)
    return Saving(
        arm=arm,
        level=1,
        density=0.5,
        n=8,
        accuracy=0.9,
        difference=-0.002,
        low=-0.005,
        high=0.001,
        test="sign-flip",
        p=p,
        as_good=p <= 0.05,
        margin=0.01,
        against="ticket",
        lenders=lenders,
        means=amounts,
        alone={**amounts, "iterations": None},
        ratios=dict.fromkeys(amounts, ratio),
    )


def test_the_table_says_what_is_saved_and_whether_it_is_as_good() -> None:
    given = replace(tables(), savings=[saving("short", Ratio(0.25, 0.2, 0.31)), saving("ticket", None)])
    [ledger] = saving_ledgers(given)
    assert ledger.rows[0] == [
        "short", "1 (50%)", "-0.20 [-0.50, +0.10]", "yes, p = 0.01",
        "1,234 (20% to 31%)", "1,234 (20% to 31%)", "1,234 (20% to 31%)", "–",
    ]  # fmt: skip
    assert ledger.rows[1][2:5] == ["–", "–", "1,234"]
    assert "not below by 1% or more" in ledger.caption
    assert cost_cell(saving("x", Ratio(0.5, 0.5, 0.5)), "seconds") == "1,234 (50%)"
    assert saving_ledgers(replace(tables(), savings=[saving("ticket", None)])) == []
    assert saving_ledgers(tables()) == []


def test_the_dense_network_has_a_table_of_its_own() -> None:
    rows = [saving("short", Ratio(0.25, 0.2, 0.31)), saving("ticket", None)]
    both = [*rows, *(replace(one, against="dense") for one in rows)]
    first, second = saving_ledgers(replace(tables(), savings=both))
    assert first.caption != second.caption
    assert "less the ticket's" in first.caption
    assert "less that of the dense network" in second.caption
    assert first.rows[1][2:4] == ["–", "–"]
    assert second.rows[1][2:4] == ["-0.20 [-0.50, +0.10]", "yes, p = 0.01"]


def test_amounts_at_three_figures() -> None:
    assert [in_short(value) for value in (None, 0.0577, 12.0, 1250.4, 3.1e9)] == [
        "–",
        "0.0577",
        "12",
        "1,250",
        "3.1e+09",
    ]


def test_the_table_says_which_arms_hold_for_their_lenders_alone() -> None:
    lent = [
        saving("donor", None, lenders="4 donors"),
        saving("core", None, lenders="4 donors"),
        saving("own", None),
    ]
    [ledger] = saving_ledgers(replace(tables(), savings=lent))
    assert ledger.caption.endswith(
        "Replicates take from the same: donor and core from 4 donors; what is said of these holds for them, not in "
        "general."
    )
    [ledger] = saving_ledgers(replace(tables(), savings=[saving("own", None), saving("ticket", None)]))
    assert "Replicates take from" not in ledger.caption
