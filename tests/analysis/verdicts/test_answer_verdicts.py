"""The answer of a study: which questions in which order, by which verdict, with which numbers; not the exact prose."""

from __future__ import annotations

import pytest

from support.answer_verdicts import verdict
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.verdict import Verdict
from tombola.analysis.verdicts.wording import DECIDED
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, YES
from tombola.study.claims import QUESTIONS


def test_questions_are_answered_in_their_own_order_and_only_those_that_are_asked() -> None:
    found = sentences(
        [verdict("g", "gap"), verdict("none", ""), verdict("s", "shares"), verdict("w", "wins")]
    )
    assert [each.question for each in found] == ["wins", "shares", "gap"]
    assert [each.asked for each in found] == [QUESTIONS["wins"], QUESTIONS["shares"], QUESTIONS["gap"]]
    assert [each.verdicts for each in found] == [("w",), ("s",), ("g",)]
    assert sentences([verdict("none", "")]) == []


def test_the_first_verdict_on_a_question_is_the_answer_and_the_others_stand_beside_it() -> None:
    first = verdict("first", "wins", CLOSE, difference=0.0031, low=-0.0042, high=0.0104, n=5)
    second = verdict("second", "wins", YES, b="random-mask", difference=0.0456, low=0.0333, high=0.0579)
    [answer] = sentences([first, second])
    assert (answer.decision, answer.n) == (CLOSE, 5)
    assert (answer.difference, answer.low, answer.high) == (0.0031, -0.0042, 0.0104)
    assert answer.verdicts == ("first", "second")
    for number in ("0.31", "1.04", "4.56", "3.33", "5.79", "n = 5"):
        assert number in answer.said
    assert answer.said.index("0.31") < answer.said.index("4.56")
    assert answer.table()["verdicts"] == ("first", "second")


@pytest.mark.parametrize("decision", [YES, NO, CLOSE, UNRESOLVED])
def test_a_sentence_begins_with_its_verdict(decision: str) -> None:
    [answer] = sentences([verdict("w", "wins", decision)])
    assert answer.decision == decision
    assert answer.said.lower().startswith(DECIDED[decision].lower())


def test_why_a_question_could_not_be_answered_is_said() -> None:
    lost = verdict("t", "transfers", UNRESOLVED, why="'twin-recovers' had to come out first, and did not")
    assert "twin-recovers" in sentences([lost])[0].said


SHARED = verdict(
    "t",
    "transfers",
    c="donor-fit-aligned",
    d="donor-fit",
    share_of="ticket less donor",
    share=0.314,
    share_low=-0.086,
    share_high=0.728,
)


def test_the_share_of_the_gap_is_told_where_the_gap_is_asked_for() -> None:
    found = {each.question: each.said for each in sentences([SHARED, verdict("g", "gap")])}
    for number in ("31%", "-9", "73"):
        assert number in found["gap"]
        assert number not in found["transfers"]


@pytest.mark.parametrize("lost", ["share", "share_low", "share_high"])
def test_where_the_gap_may_be_0_no_share_is_told(lost: str) -> None:
    nothing = Verdict(**{**vars(SHARED), lost: None})
    [_, gap] = sentences([nothing, verdict("g", "gap")])
    assert "no share can be told" in gap.said.lower()
    assert not any(number in gap.said for number in ("31%", "73", "None"))


def test_a_share_is_that_of_the_claim_that_asks_for_one() -> None:
    other = verdict("other", "transfers")
    elsewhere = verdict("else", "", share_of="dense less ticket", share=0.99, share_low=0.9, share_high=1.1)
    [_, gap] = sentences([elsewhere, other, SHARED, verdict("g", "gap")])
    assert "31%" in gap.said
    [_, gap] = sentences([other, verdict("g", "gap")])
    assert "share" not in gap.said.lower()


def test_where_a_control_did_not_come_out_no_share_is_told() -> None:
    lost = Verdict(**{**vars(SHARED), "decision": UNRESOLVED, "control": "twin-recovers"})
    [_, gap] = sentences([lost, verdict("g", "gap")])
    assert "no share can be told, since twin-recovers did not come out" in gap.said.lower()
    assert "31%" not in gap.said
