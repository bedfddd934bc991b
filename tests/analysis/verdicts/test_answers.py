"""The answer in sentences: what a newcomer reads, made of the verdicts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.simulated import Place, claim, decide_all, frame_of, study_of
from tombola.analysis.verdicts import plain
from tombola.analysis.verdicts.answers import Sentence, sentences
from tombola.analysis.verdicts.verdict import Verdict
from tombola.lottery.arms.catalog import ARMS
from tombola.stats.verdict import CLOSE, UNRESOLVED, UNTESTED, YES

FOUND = Verdict(
    "answer", "one", "Tickets win.", "early_stop_test_accuracy", "ticket", "reinit", "", "", 0.1, 3, 0.1, "greater",
    0.0, "", "sign-flip", 0.05, 8, n=8, mean_a=0.97, mean_b=0.95, difference=0.02, low=0.01, high=0.03, tests=2,
    decision=YES, answers="wins",
)  # fmt: skip


def said(*verdicts: Verdict) -> Sentence:
    [found] = sentences(verdicts)
    return found


def test_a_decision_of_a_run_is_one_sentence() -> None:
    # 2 points each: no spread
    values: dict[Place, list[float | None]] = {(3, "ticket"): [0.92] * 6, (3, "reinit"): [0.9] * 6}
    found = said(*decide_all(study_of(claim(answers="wins"), replicates=6), frame_of(values)))
    assert found.asked == "Does the ticket win?"
    assert found.said == (
        "Yes: at 51.2% of the weights, the ticket is 2.00 points [2.00, 2.00] more accurate than its mask with fresh "
        "weights (n = 6)."
    )
    assert (found.word, found.decision, found.n, found.verdicts) == ("yes", "yes", 6, ("claim",))


def test_others_of_the_same_question_follow_with_their_own_decisions() -> None:
    dense = replace(FOUND, b="dense", difference=-0.01, low=-0.02, high=0.005, margin=0.01, decision=CLOSE)
    assert said(FOUND, replace(FOUND, b="random-mask"), dense).said.endswith(
        "It is 2.00 points [1.00, 3.00] more accurate than a random mask of as many weights (yes) and 1.00 points "
        "[-0.50, 2.00] less accurate than the dense network (not below by more than 1.00 points: too close to say)."
    )


def test_what_is_not_decided_says_why_first() -> None:
    close = replace(FOUND, decision=CLOSE, n_needed=93)
    assert said(close).said.startswith(
        "Too close to say (n would be 93): at 10% of the weights, the ticket is 2.00"
    )
    lost = replace(FOUND, decision=UNRESOLVED, control="twin", why="twin-recovers did not come out")
    assert said(lost).said.startswith(
        "Not resolvable with this control (twin-recovers did not come out): at 10%"
    )
    untested = replace(FOUND, decision=UNTESTED, difference=None, n=0)
    assert "the ticket was not held against its mask with fresh weights (n = 0)" in said(untested).said


def test_an_interaction_tells_both_differences_and_how_far_they_are_apart() -> None:
    four = replace(
        FOUND, a="donor-aligned", b="donor", c="donor-fit-aligned", d="donor-fit", mean_a=0.01, mean_b=-0.005,
        difference=0.015, low=-0.001, high=0.031,
    )  # fmt: skip
    assert said(four).said == (
        "Yes: at 10% of the weights, a donor's mask aligned to the start is 1.00 points more accurate than a donor's "
        "mask as it is, and a scrambled donor's mask aligned in the same way is 0.50 points less accurate than a "
        "scrambled donor's mask as it is: a difference of 1.50 points [-0.10, 3.10] (n = 8)."
    )


def test_measures_tell_both_values_and_layers_stand_apart() -> None:
    held = "weights@dense-held-out"
    whole = replace(
        FOUND, answers="shares", quantity=f"measure:jaccard@{held}", b="rewire", mean_a=0.07, mean_b=0.05
    )
    fc1 = replace(whole, quantity=f"measure:jaccard@{held},fc1.weight", decision=CLOSE)
    sparser = replace(whole, density=0.05)
    found = said(whole, fc1)
    assert found.said == (
        "Yes: at 10% of the weights, two tickets have 7.00% of their connections in common beyond chance, two masks "
        "rewired with their degrees 5.00%: a difference of 2.00 points [1.00, 3.00] (n = 8)."
    )
    assert found.more == "Layer by layer: fc1 2.00 points [1.00, 3.00] (too close to say)."
    assert said(whole, fc1, sparser).more == (
        "Layer by layer: fc1 2.00 points [1.00, 3.00] (too close to say). "
        "At 5% of the weights the difference is 2.00 points [1.00, 3.00] (yes)."
    )
    signs = replace(whole, quantity=f"measure:sign-agreement@start,{held}", answers="signs")
    assert said(signs, replace(signs, b="reinit")).said.endswith(
        "of those of two masks rewired with their degrees 5.00%: a difference of 2.00 points [1.00, 3.00] (n = 8). "
        "Beside tickets' masks with fresh weights the difference is 2.00 points [1.00, 3.00] (yes)."
    )
    other = replace(whole, quantity="measure:out-degree-gini")
    assert "the out degree gini of two tickets is 0.0700 above chance, that of two masks" in said(other).said


def test_another_density_is_a_sentence_of_its_own_and_its_layers_another() -> None:
    mask = replace(FOUND, b="random-mask", difference=0.04, low=0.03, high=0.05)
    sparser = [replace(each, density=0.05) for each in (FOUND, mask)]
    assert said(FOUND, sparser[0], mask, sparser[1]).more == (
        "At 5% of the weights it is 2.00 points [1.00, 3.00] more accurate than its mask with fresh weights (yes) and "
        "4.00 points [3.00, 5.00] more accurate than a random mask of as many weights (yes)."
    )
    whole = replace(FOUND, answers="shares", quantity="measure:jaccard", b="rewire", mean_a=0.07, mean_b=0.05)
    layers = [
        replace(whole, quantity=f"measure:jaccard@{name}.weight", density=density)
        for name in ("fc1", "out")
        for density in (0.1, 0.05)
    ]
    assert said(whole, *layers, replace(layers[0], b="reinit", decision=CLOSE)).more == (
        "Layer by layer: fc1 2.00 points [1.00, 3.00] (yes), out 2.00 points [1.00, 3.00] (yes). "
        "Layer by layer at 5%: fc1 2.00 points [1.00, 3.00] (yes), out 2.00 points [1.00, 3.00] (yes). "
        "Layer by layer of ticket less reinit: fc1 2.00 points [1.00, 3.00] (too close to say)."
    )
    beside = replace(whole, b="reinit", density=0.05)
    assert said(whole, replace(whole, density=0.05), beside).more == (
        "At 5% of the weights the difference is 2.00 points [1.00, 3.00] (yes) and beside tickets' masks with fresh "
        "weights the difference is 2.00 points [1.00, 3.00] (yes)."
    )
    missing = replace(FOUND, b="random-mask", difference=None, low=None, high=None, decision=UNTESTED)
    assert said(FOUND, missing).said.endswith(
        "The ticket was not held against a random mask of as many weights (not tested)."
    )


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("early_stop_iteration", "20 iterations [10, 30] later to stop than"),
        ("final_test_accuracy", "2000.00 points [1000.00, 3000.00] more accurate than"),
        ("early_stop_val_loss", "20.0000 [10.0000, 30.0000] higher in loss than"),
    ],
)
def test_every_quantity_has_a_word_for_more_and_less(quantity: str, words: str) -> None:
    assert words in said(replace(FOUND, quantity=quantity, difference=20.0, low=10.0, high=30.0)).said


def test_the_share_of_the_gap_leads_where_a_claim_tells_it() -> None:
    transfers = replace(
        FOUND, answers="transfers", share_of="ticket less donor", share=0.31, share_low=-0.24, share_high=0.72
    )
    gap = replace(FOUND, answers="gap", claim="What is shared matters.")
    *_, last = sentences([transfers, gap])
    assert last.said.startswith(
        "What carries over is 31% [-24, 72] of the gap between the ticket and a donor's mask as it is. What is shared "
        "matters (yes): at 10% of the weights, the ticket is"
    )
    assert last.word == "31% [-24, 72]; the claim on it: yes"
    *_, last = sentences([replace(transfers, share=None), gap])
    assert last.word == "yes"
    assert last.said.startswith(
        "No share can be told, since there may be no gap between the ticket and a donor's"
    )


def test_every_arm_of_the_catalogue_has_plain_words() -> None:
    assert {name for name in ARMS if not name.endswith("-example")} - plain.ARMS.keys() == set()
    assert plain.arm("of-my-own") == "‘of-my-own’"


def test_a_question_without_a_verdict_has_no_sentence() -> None:
    values: dict[str, Any] = {"answers": ""}
    assert sentences([replace(FOUND, **values)]) == []
