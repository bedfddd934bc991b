"""Pictures of a study's answer: an interval for each claim, in the unit that its sentence has."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from support.report_frames import tables
from tombola.analysis.verdicts.verdict import VERDICTS, Verdict
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import rows
from tombola.report.tables import NothingToDrawError, Tables
from tombola.stats.verdict import CLOSE, YES

WINS = Verdict(
    "answer", "one", "Tickets win.", "early_stop_test_accuracy", "ticket", "reinit", "", "", 0.1, 3, 0.1, "greater",
    0.0, "", "sign-flip", 0.05, 8, n=8, difference=0.02, low=0.01, high=0.03, decision=YES, answers="wins",
)  # fmt: skip


def of(*verdicts: Verdict) -> Tables:
    return replace(tables(), verdicts=pl.DataFrame([each.row() for each in verdicts], schema=VERDICTS))


def test_a_row_is_a_claim_with_its_numbers_beside_it() -> None:
    chart = FIGURES["answer-wins"](of(WINS, replace(WINS, b="dense", density=0.05, decision=CLOSE)))
    first, second = rows(chart).to_dicts()
    assert (first["difference"], first["low"], first["high"]) == pytest.approx((2.0, 1.0, 3.0))
    assert first["label"] == "ticket less reinit: 2.00 points [1.00, 3.00]"
    assert second["label"] == "ticket less dense, at 5%: 2.00 points [1.00, 3.00]"
    assert (first["decision"], second["decision"]) == ("yes", "too close to say")
    assert "Does the ticket win? ticket less reinit at 10.0%" in chart.to_dict()["description"]


def test_four_arms_have_two_lines_and_no_interval_no_line() -> None:
    four = replace(
        WINS, a="donor-aligned", b="donor", c="donor-fit-aligned", d="donor-fit", low=None, high=None
    )
    chart = FIGURES["answer-wins"](of(four))
    [row] = rows(chart).to_dicts()
    assert row["label"] == "donor-aligned less donor,\nbeyond donor-fit-aligned less donor-fit"
    marks = [layer["mark"]["type"] for layer in chart.to_dict()["layer"]]
    assert marks.count("rule") == 1  # no difference at all


def test_the_gap_is_shown_with_what_carries_over() -> None:
    transfers = replace(WINS, answers="transfers", difference=0.005, share_of="ticket less donor", share=0.25)
    found = rows(FIGURES["answer-gap"](of(transfers, replace(WINS, answers="gap")))).to_dicts()
    # A quarter of the gap is half a point: the gap is 2.
    assert [row["difference"] for row in found] == pytest.approx([2.0, 0.5, 2.0])
    assert [row["what"] for row in found] == [
        "the gap, ticket less donor",
        "what carries over, 25% of it",
        "ticket less reinit",
    ]
    alone = rows(FIGURES["answer-gap"](of(replace(transfers, share=None), replace(WINS, answers="gap"))))
    assert len(alone) == 1


def test_a_question_without_an_estimate_has_no_picture() -> None:
    for given in (of(replace(WINS, difference=None)), of(replace(WINS, answers="signs"))):
        with pytest.raises(NothingToDrawError, match="has an estimate"):
            FIGURES["answer-wins"](given)
