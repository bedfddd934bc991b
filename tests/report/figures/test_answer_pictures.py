"""The pictures of a study's answer: which claims, at which numbers, in which colours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from support.answer_verdicts import verdict
from support.report_frames import tables
from tombola.analysis.verdicts.verdict import VERDICTS, Verdict
from tombola.analysis.verdicts.wording import DECIDED
from tombola.report.figures.answers import COLOURS, ROW, TALL
from tombola.report.figures.base import FIGURES
from tombola.report.tables import NothingToDrawError
from tombola.stats.verdict import CLOSE, DECISIONS, NO, YES
from tombola.study.claims import QUESTIONS


def drawn(question: str, *verdicts: Verdict) -> dict[str, Any]:
    """The picture on a question, as Vega-Lite."""
    rows = pl.DataFrame([each.row() for each in verdicts], schema=VERDICTS, orient="row")
    picture = FIGURES[f"answer-{question}"].draw(replace(tables(), verdicts=rows))
    found: dict[str, Any] = picture.to_dict()
    return found


def rows(picture: dict[str, Any]) -> list[dict[str, Any]]:
    """Its data."""
    [found] = picture["datasets"].values()
    return list(found)


def points(picture: dict[str, Any]) -> list[tuple[float | None, ...]]:
    """Estimate and interval of each of its rows, to 1e-6."""
    keys = ("difference", "low", "high")
    return [tuple(None if row[key] is None else round(row[key], 6) for key in keys) for row in rows(picture)]


def test_a_picture_holds_the_estimates_on_its_question_in_points() -> None:
    mine = verdict("mine", "wins")
    other = verdict("other", "wins", NO, difference=-0.02, low=-0.03, high=-0.01, b="random-mask")
    picture = drawn("wins", mine, verdict("else", "signs", difference=0.5), other)
    assert points(picture) == [(1.23, 0.45, 2.01), (-2.0, -3.0, -1.0)]
    assert [row["decision"] for row in rows(picture)] == [DECIDED[YES], DECIDED[NO]]
    assert "1.23" in picture["description"]
    assert QUESTIONS["wins"] in picture["description"]


def test_a_claim_without_an_estimate_has_no_row_and_one_without_an_interval_has_a_point() -> None:
    bare = {"low": None, "high": None}
    nothing = verdict("nothing", "wins", difference=None, **bare)
    assert points(drawn("wins", nothing, verdict("two", "wins", CLOSE, **bare))) == [(1.23, None, None)]
    with pytest.raises(NothingToDrawError):
        drawn("wins", nothing)
    with pytest.raises(NothingToDrawError):
        drawn("shares", verdict("mine", "wins"))
    with pytest.raises(NothingToDrawError):
        FIGURES["answer-wins"].draw(replace(tables(), verdicts=None))


def test_the_line_of_no_difference_stands_below_the_words() -> None:
    lines = {False: ROW, True: TALL}
    four = verdict("mine", "transfers", c="donor", d="donor-fit")
    for claim in (verdict("mine", "wins"), four):
        [zero] = [each for each in drawn(claim.answers, claim)["layer"] if "strokeDash" in each["mark"]]
        row = lines[bool(claim.c)]
        words = 4 + (2 if claim.c else 1) * 13
        assert words <= zero["encoding"]["y"]["bandPosition"] * row < row - 9
        assert zero["encoding"]["y2"] == {"field": "row", "bandPosition": 1}


def test_every_question_has_a_picture_and_every_decision_a_colour() -> None:
    assert {f"answer-{question}" for question in QUESTIONS} <= set(FIGURES)
    assert set(COLOURS) == set(DECISIONS)
    scale = next(
        layer["encoding"]["color"]["scale"]
        for layer in drawn("wins", verdict("mine", "wins"))["layer"]
        if "color" in layer.get("encoding", {})
    )
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {
        DECIDED[each]: colour for each, colour in COLOURS.items()
    }
