"""Several runs on one page: one picture where it holds them, parts where not, and what differs on top."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import vl_convert

from support.cases import also_slow
from support.page_reader import Reader
from support.report_frames import HALF, history_frame, odd_tables, results_frame, tables
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import VEGA_LITE, compact, rows
from tombola.report.figures.style import (
    MOST_SERIES,
    SERIES_COLOURS,
    SERIES_DASHES,
    SERIES_SHAPES,
    series_styles,
)
from tombola.report.page.page import notes, write
from tombola.report.page.tables import level_rows
from tombola.report.tables import NothingToDrawError, Tables

AGAINST_DENSITY = ("accuracy-early-stop", "accuracy-final", "early-stop", "gap")
CURVES = ("learning-curves", "learning-curves-accuracy")


def worse(by: float, arms: Sequence[str] = ("ticket", "reinit"), replicates: int = 2) -> Tables:
    """The tables of a run whose networks are worse by so much, with these arms."""
    results = results_frame(replicates).with_columns(
        pl.col("early_stop_test_accuracy", "final_test_accuracy", "final_train_accuracy") - by
    )
    extra = [results.filter(pl.col("arm") == "reinit").with_columns(arm=pl.lit(arm)) for arm in arms[2:]]
    return tables(pl.concat([results.filter(pl.col("arm").is_in(arms)), *extra]))


def together(runs: int = 2, **options: Any) -> Tables:
    return Tables.together(
        "Both", {f"run {'ba'[i] if i < 2 else i}": worse(0.1 * i, **options) for i in range(runs)}
    )


MANY = ("ticket", "reinit", "x", "y", "z")


def legend(chart: Any) -> list[str]:
    """The names of the colour scale, without the nameless one."""
    domains = re.findall(
        r'"color":\{[^{}]*(?:\{[^{}]*\}[^{}]*)*"scale":\{"domain":(\[[^\]]*\])', compact(chart)
    )
    return [str(name) for name in json.loads(domains[0]) if name]


def test_few_lines_share_their_axes_and_are_named_after_run_and_arm() -> None:
    for name in AGAINST_DENSITY:
        given = together()
        assert list(FIGURES[name].parts(given)) == [""]
        chart = FIGURES[name](given)
        assert "facet" not in chart.to_dict()
        names = ["run b · ticket", "run b · reinit", "run a · ticket", "run a · reinit"]  # in the runs' order
        assert legend(chart) == names
        assert set(rows(chart)["arm"]) == set(names)
        assert vl_convert.vegalite_to_vega(compact(chart), vl_version=VEGA_LITE)["marks"]


def test_the_numbers_are_those_of_each_run() -> None:
    found = rows(FIGURES["accuracy-early-stop"](together(replicates=3)))
    for run, mean in (("run b", 6.0), ("run a", 16.0)):
        [row] = found.filter((pl.col("arm") == f"{run} · ticket") & (pl.col("level") == 1)).to_dicts()
        assert (row["mean"], row["n"]) == (pytest.approx(mean), 3)
        assert row["high"] - row["mean"] == pytest.approx(100 * HALF, abs=1e-3)


def test_many_lines_are_the_tickets_together_and_a_panel_for_each_run() -> None:
    given = together(arms=MANY)
    for name in AGAINST_DENSITY:
        parts = FIGURES[name].parts(given)
        assert list(parts) == ["tickets", "every arm"]
        tickets, panels = (FIGURES[name](part) for part in parts.values())
        assert legend(tickets) == ["run b · ticket", "run a · ticket"]
        spec = panels.to_dict()
        assert spec["facet"]["sort"] == ["run b", "run a"]
        assert spec["resolve"]["scale"]["y"] == "independent"
        assert set(legend(panels)) == set(MANY)
        assert set(rows(panels)["run"]) == {"run b", "run a"}
        assert vl_convert.vegalite_to_vega(compact(panels), vl_version=VEGA_LITE)["marks"]


def test_more_runs_than_a_chart_holds_have_panels_alone() -> None:
    given = together(MOST_SERIES + 1)
    assert list(FIGURES["gap"].parts(given)) == ["every arm"]
    assert list(FIGURES["learning-curves"].parts(given)) == list(given.runs)
    exactly = together(MOST_SERIES)
    assert list(FIGURES["gap"].parts(exactly)) == ["tickets", "every arm"]
    assert list(FIGURES["learning-curves"].parts(exactly)) == ["tickets", *exactly.runs]


def test_curves_share_panels_where_the_ladders_are_the_same() -> None:
    for name in CURVES:
        chart = FIGURES[name](together())
        assert legend(chart) == ["run b · ticket", "run b · reinit", "run a · ticket", "run a · reinit"]
        panels = rows(chart).group_by("panel").agg(pl.col("arm").n_unique()).sort("panel")
        assert dict(panels.iter_rows()) == {
            "25% remain (level 2)": 4,
            "50% remain (level 1)": 4,
            "dense (100%)": 2,
        }


def test_curves_of_other_ladders_are_drawn_run_by_run() -> None:
    other = results_frame().with_columns(
        density=pl.when(pl.col("level") == 1).then(0.7).otherwise(pl.col("density"))
    )
    given = Tables.together("Both", {"a": tables(), "b": tables(other)})
    assert list(FIGURES["learning-curves"].parts(given)) == ["a", "b"]
    assert list(FIGURES["gap"].parts(given)) == [""]
    with pytest.raises(NothingToDrawError, match="one run at a time"):
        FIGURES["learning-curves"](given)


def test_figures_that_know_one_run_are_drawn_for_each() -> None:
    given = together()
    parts = FIGURES["input-map"].parts(given)
    assert list(parts) == ["run b", "run a"]
    assert parts["run a"] is given.runs["run a"]
    with pytest.raises(NothingToDrawError, match="one run at a time"):
        FIGURES["input-map"](given)
    single = tables()
    assert all(FIGURES[name].parts(single) == {"": single} for name in FIGURES)


def test_dense_is_named_where_it_is_one_network_and_not_where_there_are_two() -> None:
    def texts(given: Tables) -> int:
        return compact(FIGURES["accuracy-early-stop"](given)).count('"text":"dense"')

    same = Tables.together("Both", {"a": worse(0.0), "b": worse(0.0)})
    assert texts(same) == 1
    assert texts(together()) == 0
    assert texts(together(arms=MANY)) == 1  # a panel each


def test_alternative_texts_name_run_and_arm() -> None:
    for given in (together(), together(arms=MANY)):
        text = FIGURES["gap"](given).to_dict()["description"]
        assert "run a · ticket: " in text
        assert "run b · reinit: " in text


# --- style ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (2, 4), (4, 2), (2, 3), (3, 2), (1, 1)])
def test_series_differ_in_shape_and_dash_and_colour_goes_with_what_there_is_more_of(
    shape: tuple[int, int],
) -> None:
    runs, arms = shape
    pairs = [
        (f"run {9 - r}", arm)
        for r in range(runs)
        for arm in ["ticket", *(f"arm-{i}" for i in range(1, arms))]
    ]
    styles = series_styles(pairs)
    assert (
        len({style.shape for style in styles.values()})
        == len({style.dash for style in styles.values()})
        == len(pairs)
    )
    assert len({style.colour for style in styles.values()}) == max(runs, arms)
    assert next(iter(styles)) == "run 9 · ticket"
    for run, arm in pairs:
        first = styles[f"run 9 · {arm}"] if arms > runs else styles[f"{run} · ticket"]
        assert styles[f"{run} · {arm}"].colour == first.colour


def test_there_are_eight_of_each() -> None:
    for values in (SERIES_COLOURS, SERIES_SHAPES, SERIES_DASHES):
        assert len(values) == len(set(values)) == MOST_SERIES == 8


# --- tables and page -----------------------------------------------------------------------------------------


def test_tables_of_several_runs_keep_each() -> None:
    given = together()
    assert given.results["run"].unique(maintain_order=True).to_list() == ["run b", "run a"]
    assert len(given.results) == 2 * len(results_frame())
    assert given.cells_planned == 2 * len(results_frame())
    assert given.history is not None
    assert len(given.history) == 2 * len(history_frame(results_frame()))
    unknown = Tables.together("Both", {"a": tables(), "b": tables(history=None, cells_planned=None)})
    assert unknown.cells_planned is None
    assert unknown.history is not None
    assert set(unknown.history["run"]) == {"a"}


def test_table_rows_go_by_level_then_run_with_the_ticket_first() -> None:
    order = [(row["level"], row["run"], row["arm"]) for row in level_rows(together())]
    assert order[:6] == [
        ("0", "run b", "ticket"),
        ("0", "run a", "ticket"),
        ("1", "run b", "ticket"),
        ("1", "run b", "reinit"),
        ("1", "run a", "ticket"),
        ("1", "run a", "reinit"),
    ]


def test_notes_say_which_run_they_are_about() -> None:
    three = results_frame(3)
    given = Tables.together("Both", {"a": tables(three), "b": tables(three, cells_planned=30)})
    assert notes(given) == ["b: This run is not finished: 21 of 30 cells are done."]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tombola.report.page.page.save", lambda *_: None)
        page = write(
            folder,
            together(arms=MANY),
            ["b against a: <less>"],
            {"seed": "run b: 1; run a: 2"},
            "# spec",
            within={"run b": ["ticket against dense, b"], "run a": []},
            differences={"recipe.lr": ["0.1", "0.2"], "<key>": ["x", "y"]},
        )
    return Reader(page.read_text())


def test_what_differs_is_on_top_then_what_is_between_the_runs(read: Reader) -> None:
    words = (
        "what differs",
        "recipe.lr",
        "<key>",
        "b against a: <less>",
        "Within run b",
        "ticket against dense, b",
    )
    order = [read.text.index(word) for word in (*words, "Test error at early stop: tickets", "seed")]
    assert order == sorted(order)
    assert "Within run a" not in read.text


def test_each_part_of_a_figure_has_its_own_chart(read: Reader) -> None:
    charts = read.all("data-chart")
    assert {"gap-1", "gap-2", "input-map-1", "input-map-2"} <= set(charts)
    assert len(charts) == len(set(charts))
    assert len(set(read.all("id"))) == len(read.all("id"))
    for title in ("Surviving input weights: run b", "Surviving input weights: run a", "every arm"):
        assert title in read.text


def test_the_level_table_has_a_column_for_the_run(read: Reader) -> None:
    head = read.text.index("Levels\n")
    assert read.text.index("run", head) < read.text.index("arm", head)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "odd", also_slow(["all diverged", "nothing yet"], ["no dense", "no history", "one replicate"])
)
def test_odd_runs_beside_a_whole_one_have_a_page(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tombola.report.page.page.save", lambda *_: None)
    given = Tables.together("Both", {"whole": tables(), "odd": odd_tables()[odd]})
    read = Reader(write(tmp_path, given, [], {}, "").read_text())
    assert "whole" in read.text
    assert [name for name in read.all("data-chart") if name.startswith("accuracy-early-stop")]


@pytest.mark.usefixtures("float64")
def test_two_runs_without_anything_have_a_page(tmp_path: Path) -> None:
    empty = odd_tables()["nothing yet"]
    text = Reader(
        write(tmp_path, Tables.together("Both", {"a": empty, "b": empty}), [], {}, "").read_text()
    ).text
    assert text.count("No finished cell has a value of 'gap' yet.") == 1
    assert "a: This run is not finished: 0 of 10 cells" in text
