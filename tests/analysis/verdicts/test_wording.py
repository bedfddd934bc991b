"""Verdicts in words: the estimate leads, p follows, and what is not resolved is said plainly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.simulated import Place, claim, decide_all, frame_of, study_of
from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.verdict import Verdict

# 0.2, 0.1, 0.3 and nothing: hundredths of test accuracy; and so many iterations
VALUES: dict[Place, list[float | None]] = {
    (3, "ticket"): [0.902, 0.901, 0.903, None],
    (3, "reinit"): [0.9] * 4,
}


def found(**changes: Any) -> Verdict:
    replicates = 4
    quantity = str(changes.get("quantity", "early_stop_test_accuracy"))
    [verdict] = decide_all(study_of(claim(**changes), replicates=replicates), frame_of(VALUES, quantity))
    return verdict


def test_the_estimate_leads_in_percentage_points() -> None:
    # mean 0.2, deviation 0.1, t(2, 97.5%) = 4.303: half 0.248
    assert wording.estimate(found()) == (
        "ticket less reinit at 51.2% (level 3), early stop test accuracy: +0.20 pp [-0.05, +0.45], d = 2.00, "
        "n = 3 of 4, 1 cells without a number left out"
    )


def test_the_interval_of_a_difference_ends_at_a_hundred_points() -> None:
    # 90, 80 and 100 points: mean 90, deviation 10, half 4.303 * 10 / sqrt(3) = 24.84
    values: dict[Place, list[float | None]] = {(3, "ticket"): [0.9, 0.8, 1.0], (3, "reinit"): [0.0] * 3}
    [verdict] = decide_all(study_of(claim(), replicates=3), frame_of(values))
    assert wording.difference(verdict) == "+90.00 pp [+65.16, +100.00]"
    assert verdict.row()["high"] == 1.0


def test_two_replicates_have_no_interval() -> None:
    values: dict[Place, list[float | None]] = {(3, "ticket"): [0.9, 0.8], (3, "reinit"): [0.5, 0.5]}
    [verdict] = decide_all(study_of(claim(), replicates=2), frame_of(values))
    assert wording.difference(verdict) == "+35.00 pp"


def test_the_test_follows_with_its_correction() -> None:
    assert wording.test_of(found()) == "exact sign-flip, above: p = 0.12 (alpha 0.05)"
    for changes, said in (
        ({"margin": 0.01}, "exact sign-flip, not below by more than 1.00 pp: p = "),
        ({"direction": "less"}, "exact sign-flip, below: p = "),
        ({"direction": "less", "margin": 0.01}, "exact sign-flip, not above by more than 1.00 pp: p = "),
        ({"direction": "same", "margin": 0.01}, "exact sign-flip, within 1.00 pp: p = "),
        ({"direction": "different"}, "exact sign-flip, different: p = "),
        ({"test": "t"}, "t-test, above: p = "),
    ):
        assert wording.test_of(found(**changes)).startswith(said)
    twice = decide_all(study_of(claim("a"), claim("b")), frame_of(VALUES))[0]
    assert (
        wording.test_of(twice)
        == "exact sign-flip, above: p = 0.12, p = 0.25 by Holm over the 2 tests of 'claims' (alpha 0.05)"
    )


def test_decisions() -> None:
    assert wording.decision(found()) == (
        "not resolvable with this n (n = 3 is too small: p is 0.12 at least, above alpha 0.05; it takes 5 replicates)"
    )
    assert wording.decision(found(alpha=0.2)) == "yes"
    assert (
        wording.decision(found(direction="less", alpha=0.2))
        == "no, the data speak against it (the other way p = 0.12)"
    )
    by_t = replace(found(test="t", alpha=0.01), n_needed=7)
    assert wording.decision(by_t) == "too close to say (n would be 7)"
    assert wording.decision(found(densities=[0.1])) == "not tested"
    assert wording.test_of(found(densities=[0.1])) == ""
    assert wording.estimate(found(densities=[0.1])).startswith(
        "ticket less reinit at 10.0%, early stop test accuracy: no level of this study is within 10%"
    )


@pytest.mark.parametrize(
    ("after", "said"), [(None, ""), (12, "changed after 12 cells"), (-1, "not recorded before the results")]
)
def test_changes(after: int | None, said: str) -> None:
    assert wording.changed(replace(found(), changed_after=after)) == said


def test_amounts() -> None:
    assert wording.amount("early_stop_iteration", -120.4, sign=True) == "-120"
    assert wording.amount("early_stop_val_loss", 0.01234) == "0.0123"
    assert wording.amount("gap", 0.012, sign=True) == "+1.20 pp"
    assert wording.amount("measure:accuracy", 0.5) == "0.5000"
    assert [wording.small(p) for p in (0.5, 1 / 32, 0.0012, 0.00012)] == [
        "0.5",
        "0.031",
        "0.0012",
        "< 0.001",
    ]
    assert [wording.p_equals(p) for p in (0.5, 0.0)] == ["p = 0.5", "p < 0.001"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direction": "greater"}, "of ticket above that of reinit"),
        ({"direction": "less"}, "of ticket below that of reinit"),
        ({"direction": "different"}, "of ticket different from that of reinit"),
        (
            {"direction": "greater", "margin": 0.002},
            "of ticket not below that of reinit by more than 0.20 pp",
        ),
        ({"direction": "less", "margin": 0.002}, "of ticket not above that of reinit by more than 0.20 pp"),
        ({"direction": "same", "margin": 0.002}, "of ticket within 0.20 pp of that of reinit"),
        (
            {"arms": ["ticket", "reinit", "random-mask", "dense"]},
            "of ticket less reinit above that of random-mask less dense",
        ),
    ],
)
def test_what_is_asked(changes: dict[str, Any], said: str) -> None:
    [hypothesis] = study_of(claim(**changes)).hypothesis
    assert wording.asked_of(hypothesis) == said


def test_how_says_no_more_than_is_true() -> None:
    assert wording.how([found(densities=[0.1])]) == ""
    said = wording.how([found()])
    assert said.startswith("Mean of the paired differences over replicates with its 95% t-interval, d in ")
    assert "draws" not in said
    alone = replace(found(), low=None, high=None)
    assert wording.how([alone]) == "Mean of the paired differences over replicates."
    pairs = replace(found(), quantity="measure:jaccard")
    assert "t-interval" not in wording.how([pairs])
    assert wording.how([pairs]).endswith("with the 95% interval of a U-statistic.")
    assert wording.test_name(pairs) == "swap of replicates"
    assert wording.test_name(replace(found(), n=15)) == "sign-flip", "of so many ways some are drawn"


def test_every_verdict_is_in_the_box() -> None:
    words = dict.fromkeys(word.partition(" with this")[0] for word, _ in wording.BOX)
    assert list(words) == list(wording.DECIDED.values())
