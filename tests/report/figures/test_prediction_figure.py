"""The pictures of prediction: what they show of made-up numbers, and that there is none where nobody asked."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from support.report_frames import tables
from tombola.analysis.membership.prediction import PREDICTION, RELIABILITY, Prediction
from tombola.report.figures.prediction import importance, prediction
from tombola.report.tables import NothingToDrawError


def made_up() -> Prediction:
    rows = [
        (2, k, by, layer, r, "auc", "", value + 0.1 * r)
        for k in (0, 10)
        for by, value in (("boosting", 0.6), ("|w| at start", 0.5))
        for layer in ("fc1.weight", "all")
        for r in range(3)
    ]
    rows += [
        (2, k, by, "fc1.weight", r, "importance", feature, value * (1 + k))
        for k in (0, 10)
        for by in ("boosting", "logistic")
        for feature, value in (("snip", 0.01), ("votes", 0.02))
        for r in range(3)
    ]
    return Prediction(pl.DataFrame(rows, schema=PREDICTION, orient="row"), pl.DataFrame(schema=RELIABILITY))


def test_a_line_for_each_score_and_a_panel_for_each_layer() -> None:
    chart = prediction(replace(tables(), prediction=made_up())).to_dict()
    [points] = chart["datasets"].values()
    assert len(points) == 8
    one = next(
        row for row in points if (row["told by"], row["layer"], row["steps"]) == ("boosting", "all", 10)
    )
    # 0.6, 0.7 and 0.8: t of two degrees of freedom 4.3027, a deviation of 0.1.
    assert (one["mean"], one["interval"]) == (0.7, "0.452 to 0.948")
    assert chart["facet"]["sort"] == ["fc1.weight", "all"]
    assert "boosting 0.700; |w| at start 0.600" in chart["description"]


def test_importance_is_that_of_one_model_largest_first() -> None:
    chart = importance(replace(tables(), prediction=made_up())).to_dict()
    [points] = chart["datasets"].values()
    assert sorted((row["feature"], row["k"], round(row["mean"], 3)) for row in points) == [
        ("snip", "k = 0", 0.01),
        ("snip", "k = 10", 0.11),
        ("votes", "k = 0", 0.02),
        ("votes", "k = 10", 0.22),
    ]
    assert "most by votes in fc1.weight, 0.220" in chart["description"]


def test_there_is_none_where_nobody_asked() -> None:
    for picture in (prediction, importance):
        with pytest.raises(NothingToDrawError, match="tombola predict"):
            picture(tables())
