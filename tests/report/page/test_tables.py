"""The tables of the page that are made of counts: layers and cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from support.page_reader import Reader
from support.report_frames import results_frame, tables
from tombola.models.scope import Scope
from tombola.report.page.page import write
from tombola.report.page.tables import cost_ledgers, layer_ledgers
from tombola.report.tables import Tables


def layers_frame(levels: int = 2) -> pl.DataFrame:
    """Two layers of 800 and 200 weights; level k keeps 1 / 2^k of the first and all of the second."""
    rows = [
        (k, name, n, n / d)
        for k in range(levels + 1)
        for name, n, d in (("a.weight", 800, 2**k), ("b", 200, 1))
    ]
    return pl.DataFrame(rows, schema=["level", "layer", "weights", "kept"], orient="row")


def test_layers_beside_the_whole_network_below_dense() -> None:
    [ledger] = layer_ledgers(replace(tables(), layers=layers_frame()))
    # 400 + 200 = 600 of 1000 remain, then 200 + 200 = 400.
    assert ledger.heads == ["layer", "weights", "60% (level 1)", "40% (level 2)"]
    assert ledger.rows == [
        ["a", "800", "50% (400)", "25% (200)"],
        ["b", "200", "100% (200)", "100% (200)"],
        ["whole network", "1,000", "60% (600)", "40% (400)"],
    ]


def test_a_long_ladder_is_thinned_from_its_first_level_to_its_last() -> None:
    [ledger] = layer_ledgers(replace(tables(), layers=layers_frame(9)))
    # Of nine levels below dense, every second.
    assert [head.partition("level ")[2] for head in ledger.heads[2:]] == ["1)", "3)", "5)", "7)", "9)"]


SCOPES = [
    (
        Scope({"a.weight": (800,), "b": (20, 10)}, ["a.weight", "b"]),
        " 1,000 of 1,000 parameters are prunable.",
    ),
    (
        Scope({"a.weight": (800,), "b": (20, 10), "c": (900,), "d": (100,)}, ["a.weight", "b"]),
        " 1,000 of 2,000 parameters are prunable, not c (900) and d (100).",
    ),
    (
        Scope({"a.weight": (800,), "b": (20, 10), "c": (1001,)}, ["a.weight", "b"]),
        " 1,000 of 2,001 parameters are prunable, not c (1,001). That is less than half: densities speak of a small "
        "part of this network.",
    ),
    (None, "means over replicates."),
]


@pytest.mark.parametrize(("scope", "said"), SCOPES)
def test_the_layers_say_how_much_of_the_network_they_are(scope: Scope | None, said: str) -> None:
    [ledger] = layer_ledgers(replace(tables(), layers=layers_frame(), scope=scope))
    assert ledger.caption.endswith(said)


@pytest.mark.parametrize("layers", [None, layers_frame().clear()])
def test_no_table_of_layers_before_the_first_ticket(layers: pl.DataFrame | None) -> None:
    assert layer_ledgers(replace(tables(), layers=layers)) == []


def test_cost_adds_up_every_training() -> None:
    [ledger] = cost_ledgers(replace(tables(), disk=2_340_000))
    # Two replicates: a ticket at three levels, two draws of reinit at two; 1 s and 2,000 iterations each.
    assert ledger.rows == [
        ["ticket", "6", "12,000", "6 s", "1.00 s"],
        ["reinit", "8", "16,000", "8 s", "1.00 s"],
        ["all", "14", "28,000", "14 s", "1.00 s"],
    ]
    assert "2.3 MB" in ledger.caption


def test_cost_of_one_arm_has_no_sum_and_of_nothing_no_table() -> None:
    alone = tables(results_frame().filter(pl.col("arm") == "ticket"))
    assert [row[0] for row in cost_ledgers(alone)[0].rows] == ["ticket"]
    assert "disk" not in cost_ledgers(alone)[0].caption
    assert cost_ledgers(tables(results_frame().clear())) == []


def test_several_runs_have_a_table_each() -> None:
    one = replace(tables(), layers=layers_frame())
    both = Tables.together("both", {"left": one, "right": tables()})
    assert [ledger.title for ledger in layer_ledgers(both)] == ["left"]
    assert [ledger.title for ledger in cost_ledgers(both)] == ["left", "right"]


def test_the_page_shows_them_and_leads_to_them(tmp_path: Path) -> None:
    read = Reader(
        write(tmp_path, replace(tables(), layers=layers_frame()), [], {}, "", beside=()).read_text()
    )
    assert "#layers" in read.all("href")
    assert "#cost" in read.all("href")
    for text in ("25% (200)", "28,000", "time a training"):
        assert text in read.text


def test_donors_and_twins_are_counted_last_and_in_all() -> None:
    beside = results_frame(1).head(2).with_columns(arm=pl.Series(["donors", "twins"]))
    [ledger] = cost_ledgers(replace(tables(), beside=beside))
    counts = {row[0]: row[1] for row in ledger.rows}
    assert list(counts) == ["ticket", "reinit", "donors", "twins", "all"]
    assert (counts["donors"], counts["twins"], counts["all"]) == ("1", "1", "16")  # 2 x 3, 2 x 2 x 2, and two
    assert "Donors, twins and sources are ladders of their own" in ledger.caption
