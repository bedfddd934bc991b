"""A family of claims as a forest plot: which rows, in which colours, where."""

from __future__ import annotations

from typing import Any

import pytest

from support.answer_verdicts import verdict
from tombola.report.figures.answers import COLOURS
from tombola.report.figures.export import rows
from tombola.report.figures.forest import forest
from tombola.report.tables import NothingToDrawError
from tombola.stats.verdict import CLOSE, NO, UNTESTED, YES

NOTHING: dict[str, Any] = {"difference": None, "low": None, "high": None}


def test_a_claim_has_a_row_a_density_a_point_and_a_decision_a_colour() -> None:
    found = [
        verdict("one", ""),
        verdict("one", "", NO, density=0.0176, difference=-0.02, low=-0.03, high=-0.01),
        verdict("two", "", CLOSE),
        verdict("three", "", UNTESTED, **NOTHING),
    ]
    picture = forest(found)
    drawn = rows(picture)
    assert drawn["claim"].to_list() == ["What one says", "What one says", "What two says"]
    assert drawn["density"].to_list() == ["3.43%", "1.76%", "3.43%"]
    # In points.
    assert drawn["difference"].to_list() == pytest.approx([1.23, -2.0, 1.23])
    assert drawn["low"].to_list() == pytest.approx([0.45, -3.0, 0.45])
    points = picture.to_dict()["layer"][-1]["encoding"]
    assert points["color"]["scale"]["range"] == [COLOURS[YES], COLOURS[NO], COLOURS[CLOSE]]
    assert points["shape"]["scale"]["domain"] == ["3.43%", "1.76%"]
    assert points["y"]["sort"] == ["What one says", "What two says"]


def test_without_intervals_there_are_points_and_without_estimates_nothing() -> None:
    bare = forest([verdict("one", "", low=None, high=None)]).to_dict()["layer"]
    assert [layer["mark"]["type"] for layer in bare] == ["rule", "point"]
    with pytest.raises(NothingToDrawError):
        forest([verdict("one", "", UNTESTED, **NOTHING)])
