"""Which arms hold for the donors that lend to them alone, by the study; and what is said of it beside the number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.answer_verdicts import verdict
from support.simulated import frame_of
from support.study_kit import tiny
from tombola.analysis.lenders import shared_lenders
from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.decide import decided

ARMS = ("donor", "donor-aligned", "core", "shared-rewired", "twin", "reinit")


@pytest.mark.parametrize(
    ("replicates", "donors", "expected"),
    [
        (
            4,
            2,
            {
                "donor": "2 donors",
                "donor-aligned": "2 donors",
                "core": "2 donors",
                "shared-rewired": "2 donors",
            },
        ),
        (4, 4, {"core": "4 donors", "shared-rewired": "4 donors"}),
        (2, 5, {"core": "5 donors", "shared-rewired": "5 donors"}),
        (
            3,
            1,
            {"donor": "1 donor", "donor-aligned": "1 donor", "core": "1 donor", "shared-rewired": "1 donor"},
        ),
    ],
)
def test_donors_are_shared_where_they_are_few_and_where_they_vote(
    replicates: int, donors: int, expected: dict[str, str]
) -> None:
    data = {"name": "arrays", "validation": 30, "split": "study"}
    study = tiny(arms=[{"name": arm} for arm in ARMS], data=data, replicates=replicates, donors=donors)
    for arm in (*ARMS, "ticket", "dense", "donor-ticket"):
        assert shared_lenders(study, [arm]) == expected.get(arm, ""), arm
    assert shared_lenders(study, ["ticket", "core", "donor"]) == f"{donors} donor{'s' * (donors > 1)}"


def test_a_verdict_has_the_lenders_of_its_arms() -> None:
    claim = {
        "name": "core", "claim": "Cores win.", "quantity": "early_stop_test_accuracy", "arms": ["core", "reinit"],
        "direction": "greater",
    }  # fmt: skip
    own = claim | {"name": "own", "arms": ["ticket", "reinit"]}
    data = {"name": "arrays", "validation": 30, "split": "study"}
    study = tiny(
        arms=[{"name": arm} for arm in ARMS], data=data, replicates=4, donors=2, hypothesis=[claim, own]
    )
    nothing = frame_of({(1, "ticket"): [0.9] * 4, (1, "core"): [0.9] * 4, (1, "reinit"): [0.8] * 4})
    found = decided(study, nothing, [1.0, 0.5], lambda _, blank: blank)
    assert {each.name: each.lenders for each in found} == {"core": "2 donors", "own": ""}


def test_it_is_said_beside_n() -> None:
    found = replace(verdict("one", "wins"), lenders="8 donors")
    assert f"n = {found.n}, for these 8 donors" in wording.estimate(found)
    assert f"(n = {found.n}, for these 8 donors)" in sentences([found])[0].said
    assert "for this 1 donor" in wording.estimate(replace(found, lenders="1 donor"))
    assert "for these 1 ladder of a and 2 donors" in wording.estimate(
        replace(found, lenders="1 ladder of a and 2 donors")
    )
    assert "holds for these, not in general" in wording.how([found])
    alone = replace(found, lenders="")
    assert "for th" not in wording.estimate(alone) + sentences([alone])[0].said + wording.how([alone])
