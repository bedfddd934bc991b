from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
import vl_convert

from support.report_frames import HALF, history_frame, odd_tables, results_frame, tables
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import VEGA_LITE, compact, rows
from tombola.report.figures.panels import leading
from tombola.report.tables import NothingToDrawError, Tables

AGAINST_DENSITY = ("accuracy-early-stop", "accuracy-final", "early-stop", "gap")
ODD = odd_tables()


def row(name: str, arm: str, level: int, of: Tables) -> dict[str, Any]:
    [found] = [r for r in rows(FIGURES[name](of)).to_dicts() if r["arm"] == arm and r["level"] == level]
    return found


def marks(spec: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in spec.get("layer", spec.get("spec", {}).get("layer", []))]


def domains(value: Any) -> list[list[str]]:
    """The domain of every colour scale in a specification."""
    if isinstance(value, list):
        return [found for part in value for found in domains(part)]
    if not isinstance(value, dict):
        return []
    here = [value["color"]["scale"]["domain"]] if "scale" in value.get("color", {}) else []
    return here + [found for part in value.values() for found in domains(part)]


def test_the_figures_that_the_page_promises_are_there() -> None:
    assert set(FIGURES) >= {*AGAINST_DENSITY, "learning-curves", "learning-curves-accuracy", "input-map"}


CURVES = ("learning-curves", "learning-curves-accuracy")
MISSING = {  # what cannot be drawn of each of the odd tables; everything else must be
    "no history": CURVES,
    "empty history": CURVES,
    "no image": ("input-map",),
    "all diverged": (*AGAINST_DENSITY, "learning-curves-accuracy"),
    "nan curves": ("learning-curves",),
    "nothing yet": (*AGAINST_DENSITY, *CURVES),
}


ALWAYS = (*AGAINST_DENSITY, *CURVES, "input-map")
"""Those that every run of an image has; the others are of measurements that are only made when asked for."""


@pytest.mark.parametrize(("odd", "name"), [(odd, name) for odd in ODD for name in ALWAYS])
def test_a_figure_is_drawn_or_says_why_not(odd: str, name: str) -> None:
    if name in MISSING.get(odd, ()):
        with pytest.raises(NothingToDrawError, match=r"\.$"):
            FIGURES[name](ODD[odd])
        return
    spec = json.loads(compact(FIGURES[name](ODD[odd])))  # checked by the grammar's schema, and NaN is refused
    assert spec["description"]
    assert spec["config"]["font"]
    assert spec["datasets"][spec["data"]["name"]]


@pytest.mark.parametrize("name", sorted(set(FIGURES) - set(ALWAYS)))
def test_a_figure_of_what_was_not_measured_says_so(name: str) -> None:
    for odd, given in {"": tables(), **ODD}.items():
        if (odd, name) == ("twelve arms", "arms"):
            continue
        with pytest.raises(NothingToDrawError, match=r"\.$"):
            FIGURES[name](given)


@pytest.mark.parametrize("name", ALWAYS)
def test_the_renderer_takes_every_figure(name: str) -> None:
    assert vl_convert.vegalite_to_vega(compact(FIGURES[name](tables())), vl_version=VEGA_LITE)["marks"]


@pytest.mark.parametrize(
    ("name", "arm", "level", "mean", "half"),
    [
        ("accuracy-early-stop", "ticket", 1, 6.0, HALF * 100),
        ("accuracy-early-stop", "reinit", 2, 18.0, HALF * 100),
        ("accuracy-final", "ticket", 0, 13.0, HALF * 100),
        ("early-stop", "reinit", 1, 1400.0, HALF * 10_000),
        ("gap", "ticket", 2, 8.0, 0.0),
    ],
)
def test_numbers_are_means_and_intervals_over_replicates(
    name: str, arm: str, level: int, mean: float, half: float
) -> None:
    found = row(name, arm, level, tables(results_frame(3)))
    assert found["n"] == 3
    assert found["mean"] == pytest.approx(mean, rel=1e-5)
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-4, abs=1e-4)
    low = (
        max(mean - half, 3.0) if name.startswith("accuracy") else mean - half
    )  # half of the ticket's 6%, the least
    assert found["low"] == pytest.approx(low, rel=1e-4, abs=1e-4)


def test_the_pointer_reads_the_interval() -> None:
    # 100 - 94 +- 4.96828
    three = row("accuracy-early-stop", "ticket", 1, tables(results_frame(3)))
    assert three["interval"] == "1.03 to 10.97"
    for n in (1, 2):
        few = row("accuracy-early-stop", "ticket", 1, tables(results_frame(n)))
        assert (few["low"], few["high"]) == (None, None)
        assert few["interval"] == "none (fewer than three replicates)"


def test_a_band_ends_at_an_error_of_0_and_is_drawn_to_half_of_the_least() -> None:
    better = results_frame(3).with_columns(pl.col("early_stop_test_accuracy") + 0.03)
    # 100 - 97 +- 4.96828
    found = row("accuracy-early-stop", "ticket", 1, tables(better))
    assert (found["interval"], found["low"]) == ("0.00 to 7.97", pytest.approx(1.5))


def test_errors_have_a_log_axis_unless_one_is_0() -> None:
    def kind(of: Tables) -> str:
        layers = FIGURES["accuracy-early-stop"](of).to_dict()["layer"]
        line = next(layer for layer in layers if layer["mark"]["type"] == "line")
        return str(line["encoding"]["y"]["scale"].get("type", "linear"))

    assert kind(tables()) == "log"
    perfect = results_frame().with_columns(early_stop_test_accuracy=pl.lit(1.0))
    assert kind(tables(perfect)) == "linear"


def test_arms_that_lead_are_the_known_ones_then_those_of_most_levels() -> None:
    levels = {"own-3": 3, "own-4": 4, "own-2": 2, "one-shot": 1, "reinit": 2, "ticket": 5}
    frame = pl.DataFrame(
        [(arm, level) for arm, count in levels.items() for level in range(1, count + 1)],
        schema=["arm", "level"],
        orient="row",
    )
    assert leading(frame) == ["ticket", "reinit", "one-shot", "own-4", "own-3", "own-2"]
    # Of too many, what is at two levels makes no line; where no arm is at more, it does.
    assert leading(frame, 5) == ["ticket", "reinit", "one-shot", "own-4", "own-3"]
    assert leading(frame.filter(pl.col("level") < 3), 5) == ["ticket", "reinit", "one-shot", "own-2", "own-3"]


def test_many_arms_of_one_level_alone_are_in_a_picture_of_their_own() -> None:
    whole = results_frame(3)
    sparsest = whole.filter((pl.col("level") == 2) & (pl.col("arm") == "reinit"))
    few, many = (
        tables(pl.concat([whole, *(sparsest.with_columns(arm=pl.lit(name)) for name in names)]))
        for names in (["rewire"], ["rewire", "donor", *(f"own-{i}" for i in range(6))])
    )
    assert set(rows(FIGURES["accuracy-early-stop"](few))["arm"]) == {"ticket", "reinit", "rewire"}
    assert set(rows(FIGURES["accuracy-early-stop"](many))["arm"]) == {"ticket", "reinit", "rewire"}
    for name in ("learning-curves", "gap"):
        chart = FIGURES[name](many)
        said = "Lines are of ticket, reinit and rewire; the picture “Every arm” and the table of levels have the 7 "
        assert f"{said}others." in FIGURES[name].caption(chart)
        assert f"{said}others." in chart.to_dict()["description"]
        assert "Lines are" not in FIGURES[name].caption(FIGURES[name](few))
    found = rows(FIGURES["arms"](many))
    # By error: dense 100 - 92, ticket 100 - 90, then all that have reinit's 100 - 82.
    assert found["what"].to_list()[:2] == ["dense", "ticket"]
    assert found["mean"].to_list() == pytest.approx([8.0, 10.0] + [18.0] * 9)
    kinds = dict(found.select("what", "kind").iter_rows())
    assert (kinds["donor"], kinds["rewire"], kinds["own-0"]) == ("takes from donors", "controls", "controls")
    with pytest.raises(NothingToDrawError, match="few enough"):
        FIGURES["arms"](few)


@pytest.mark.parametrize("name", AGAINST_DENSITY)
def test_sparser_is_to_the_right_on_a_log_axis_in_percent(name: str) -> None:
    chart = FIGURES[name](tables())
    lines = next(layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == "line")
    scale = lines["encoding"]["x"]["scale"]
    assert (scale["type"], scale["reverse"]) == ("log", True)
    assert scale["domain"][0] < 25
    assert scale["domain"][1] > 100
    assert sorted(set(rows(chart)["density"])) == [25, 50, 100]
    assert lines["encoding"]["x"]["axis"]["values"] == [50, 100]


@pytest.mark.parametrize("name", [*AGAINST_DENSITY, "learning-curves", "learning-curves-accuracy"])
def test_of_twelve_arms_eight_have_lines_and_stand_in_the_legend(name: str) -> None:
    chart = FIGURES[name](ODD["twelve arms"])
    arms = set(rows(chart)["arm"])
    assert arms - {"dense"} == {"ticket", "reinit", *(f"arm-{i}" for i in range(6))}
    found = domains(chart.to_dict())
    assert found
    assert all(set(domain) == arms and len(domain) == len(arms) for domain in found)


@pytest.mark.parametrize("name", [*AGAINST_DENSITY, "learning-curves"])
def test_fewer_than_three_replicates_have_lines_but_no_band(name: str) -> None:
    assert "area" in marks(FIGURES[name](tables(results_frame(3))).to_dict())
    for n in (1, 2):
        few = marks(FIGURES[name](tables(results_frame(n))).to_dict())
        assert "line" in few
        assert "area" not in few


def test_dense_is_marked_by_a_rule_and_its_name() -> None:
    layers = FIGURES["accuracy-final"](tables()).to_dict()["layer"]
    dense = [layer for layer in layers if layer.get("transform") == [{"filter": "datum.level === 0"}]]
    assert [layer["mark"]["type"] for layer in dense] == ["rule", "text"]
    assert dense[1]["mark"]["text"] == "dense"


def test_the_alternative_text_says_the_numbers() -> None:
    text = FIGURES["accuracy-early-stop"](tables()).to_dict()["description"]
    assert "for ticket and reinit" in text
    assert "means over 2 replicates, too few for intervals" in text
    assert "ticket: 9.00 at 100%, 7.00 at 50%, 11.00 at 25%." in text
    three = FIGURES["gap"](tables(results_frame(3))).to_dict()["description"]
    assert "means over 3 replicates with 95% intervals" in three
    assert (
        "one replicate, so without intervals"
        in FIGURES["gap"](tables(results_frame(1))).to_dict()["description"]
    )


def test_drawing_leaves_the_tables_alone() -> None:
    given = tables()
    for name in ALWAYS:
        FIGURES[name](given)
    assert given.results.drop("gap").equals(results_frame())
    assert given.history is not None
    assert given.history.equals(history_frame(results_frame()))
