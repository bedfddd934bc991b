from __future__ import annotations

import html
import re
from pathlib import Path

import polars as pl
import pytest

from support.page_reader import Reader
from support.report_frames import odd_tables, results_frame, spoilt, tables
from tombola.report.figures.base import FIGURES
from tombola.report.page.page import notes, unbroken, write
from tombola.report.page.tables import level_rows

ALWAYS = {"accuracy-early-stop", "accuracy-final", "early-stop", "gap", "input-map"} | {
    "learning-curves",
    "learning-curves-accuracy",
}


CLAIMS = ["ticket at 25% against dense: -2.00 pp", "ticket < reinit & so on"]
NASTY = "</script><b>&\"'"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = tables(results_frame().with_columns(arm=pl.col("arm").replace("reinit", NASTY)), cells_planned=20)
    return write(
        tmp_path_factory.mktemp("report"), given, CLAIMS, {"seed": 7, "commit": "<abc>"}, "[model]\n# <tag>"
    )


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    return Reader(page.read_text())


def test_it_is_one_small_file(page: Path) -> None:
    assert page.name == "index.html"
    assert page.stat().st_size < 5_000_000


def test_nothing_is_loaded_from_anywhere(page: Path, read: Reader) -> None:
    assert not read.all("src")
    assert not [tag for tag, _ in read.tags if tag in ("link", "img", "iframe", "object", "embed")]
    links = read.all("href")
    assert links
    assert all(link.startswith(("#", "figures/")) for link in links)
    styles = "".join(re.findall(r"<style>(.*?)</style>", page.read_text(), re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    [policy] = [attrs["content"] for tag, attrs in read.tags if tag == "meta" and "http-equiv" in attrs]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_vega_is_there_once(page: Path) -> None:
    text = page.read_text()
    assert len(FIGURES) > 1
    assert text.count("window.vegaEmbed=") == 1


def test_every_figure_has_a_chart_an_alternative_and_its_files(page: Path, read: Reader) -> None:
    charts = {attrs["data-chart"]: attrs for _, attrs in read.tags if "data-chart" in attrs}
    assert set(charts) == set(ALWAYS)
    for name, attrs in charts.items():
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"] or "") > 40
        for kind in ("svg", "pdf", "png", "csv"):
            assert f"figures/{name}.{kind}" in read.all("href")
            assert (page.parent / "figures" / f"{name}.{kind}").stat().st_size > 0


def test_sections_can_be_reached(read: Reader) -> None:
    places = [link[1:] for link in read.all("href") if link.startswith("#")]
    assert len(places) >= 6
    assert set(places) <= set(read.all("id"))
    assert len(set(read.all("id"))) == len(read.all("id"))


def test_claims_come_before_figures_and_provenance_last(read: Reader) -> None:
    order = [read.text.index(part) for part in (*CLAIMS, "Test error at early stop", "Levels\n", "commit")]
    assert order == sorted(order)


def test_what_came_from_outside_is_escaped(page: Path, read: Reader) -> None:
    text = page.read_text()
    for raw in ("A study & its <name>", NASTY, "<abc>", "# <tag>"):
        assert raw in html.unescape(text)
        assert raw not in text
    assert [tag for tag, _ in read.tags].count("script") == 2
    assert text.count("</script>") == 2


def test_the_table_holds_means_and_half_intervals() -> None:
    # 92, 94 and 96; 800, 1000 and 1200; half of the interval is 4.97 and 497
    [row] = [r for r in level_rows(tables(results_frame(3))) if (r["level"], r["arm"]) == ("1", "ticket")]
    assert (row["early_stop_test"], row["early_stop_iteration"]) == ("94.00 ± 4.97", "1000 ± 497")


def test_the_table_cuts_an_interval_at_100_percent() -> None:
    better = results_frame(3).with_columns(pl.col("early_stop_test_accuracy") + 0.03)
    [row] = [r for r in level_rows(tables(better)) if (r["level"], r["arm"]) == ("1", "ticket")]
    assert row["early_stop_test"] == "97.00 [92.03, 100.00]"


def test_two_replicates_have_no_intervals_in_the_table(read: Reader) -> None:
    assert "93.00" in read.text
    assert "± 12.71" not in read.text


def test_table_rows_go_by_level_ticket_first() -> None:
    order = [(row["level"], row["arm"]) for row in level_rows(tables())]
    assert order == [("0", "ticket"), ("1", "ticket"), ("1", "reinit"), ("2", "ticket"), ("2", "reinit")]


def test_a_table_of_one_replicate_has_no_intervals() -> None:
    first = level_rows(tables(results_frame(1)))[0]
    assert (first["n"], first["early_stop_test"], first["early_stop_iteration"]) == (
        "1",
        "90.00",
        "1000",
    )


def test_early_stops_at_the_end_are_marked_and_noted(tmp_path: Path) -> None:
    """Of the dense networks 2 of 3 stop at the end, of reinit at level 1 one of 3 x 2 draws."""
    dense = (pl.col("level") == 0) & (pl.col("replicate") < 2)
    fresh = (pl.col("arm") == "reinit") & (pl.col("level") == 1) & (pl.col("replicate") + pl.col("draw") == 0)
    given = tables(results_frame(3).with_columns(early_stop_at_end=dense | fresh))
    stops = {(row["arm"], row["level"]): row["early_stop_iteration"] for row in level_rows(given)}
    assert stops["ticket", "0"] == "1200 †2/3"
    assert stops["reinit", "1"] == "1400 †1/6"
    assert stops["ticket", "1"] == "1000 ± 497"
    [note] = notes(given)
    assert note.startswith("In 3 of 21 trainings (†k/n: in k of n) the early stop is the last evaluation")
    text = Reader(write(tmp_path, given, [], {}, "", beside=()).read_text()).text
    assert note in text
    assert "1200 †2/3" in text


def test_notes_say_what_is_missing() -> None:
    three = results_frame(3)
    assert notes(tables(three)) == []
    assert notes(tables(three, cells_planned=None)) == []
    assert "21 of 30 cells" in notes(tables(three, cells_planned=30))[0]
    assert notes(tables()) == ["There are two replicates, too few for a mean to have an interval."]
    assert "one replicate" in notes(tables(results_frame(1)))[0]
    for status in ("collapsed", "diverged"):
        [note] = notes(tables(spoilt(three, pl.col("level") == 2, status)))
        assert f"9 of 21 cells {status}" in note


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ("nothing yet", ["0 of 10 cells", "nothing to compare", "No finished cell"]),
        ("all diverged", ["14 of 14 cells diverged", "No finished cell"]),
    ],
)
def test_odd_runs_have_a_page(tmp_path: Path, odd: str, says: list[str]) -> None:
    text = Reader(write(tmp_path, odd_tables()[odd], [], {}, "").read_text()).text
    for sentence in says:
        assert sentence in text


@pytest.mark.usefixtures("float64")
def test_a_figure_that_cannot_be_drawn_says_so_in_its_place(tmp_path: Path) -> None:
    only_dense = tables(results_frame(1).head(1), history=None, masks_map=None)
    page = write(tmp_path, only_dense, [], {}, "")
    read = Reader(page.read_text())
    assert "No history of the training was kept" in read.text
    assert "does not see an image" in read.text
    assert "input-map" not in read.all("data-chart")
    assert not (tmp_path / "figures" / "input-map.svg").exists()


@pytest.mark.usefixtures("float64")
def test_writing_again_replaces_the_page(tmp_path: Path) -> None:
    empty = odd_tables()["nothing yet"]
    write(tmp_path, empty, ["first"], {}, "")
    page = write(tmp_path, empty, ["second"], {}, "")
    assert "second" in page.read_text()
    assert "first<" not in page.read_text()


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("-0.10 [-0.27, +0.07]", ["-0.10", "[-0.27,~+0.07]"]),
        ("1.55e+10 (99.9% to 100%)", ["1.55e+10", "(99.9%~to~100%)"]),
        ("not shown, p = 0.23", ["not~shown,", "p~=~0.23"]),
    ],
)
def test_a_cell_breaks_between_a_number_and_its_brackets_alone(cell: str, parts: list[str]) -> None:
    assert unbroken(cell).replace("\N{NO-BREAK SPACE}", "~").split(" ") == parts
