"""[[hypothesis]] entries: what is refused and why, and at which levels they are asked."""

from __future__ import annotations

from typing import Any

import pytest

from support.simulated import DENSITIES, claim, study_of
from tombola.errors import UserError
from tombola.study.claims import MeasureAt
from tombola.study.load import load_study, parse_study
from tombola.study.prospects import asked, prospects, unanswerable

WRONG: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"quantity": "accuracy"}, ("unknown quantity 'accuracy'", "did you mean 'final_test_accuracy'")),
    ({"quantity": "gapp"}, ("unknown quantity 'gapp'", "did you mean 'gap'")),
    ({"quantity": "measure:jacard"}, ("unknown measure 'jacard'", "did you mean 'jaccard")),
    ({"quantity": "measure:jaccard@end"}, ("'jaccard' is not read at one side", "'end'")),
    ({"quantity": "measure:sign-agreement"}, ("'sign-agreement' is read at a side", "@start or @end")),
    ({"quantity": "measure:cka@start"}, ("'cka' is read of trained networks", "'start'")),
    ({"quantity": "measure:disagreement@mask"}, ("order of hidden units", "found 'mask'")),
    ({"quantity": "measure:bariers"}, ("unknown measure", "did you mean 'barrier'")),
    ({"quantity": "measure:jaccard@raw,raw"}, ("two of a kind", "one aligned")),
    ({"quantity": "measure:jaccard", "test": "t"}, ("'claim' is on a measure", "test = 't'")),
    ({"quantity": "measure:jaccard", "arms": ["ticket", "dense"]}, ("on a measure", "arm 'dense'")),
    ({"arms": ["ticket", "reinnit"]}, ("'claim'", "unknown arm 'reinnit'", "did you mean 'reinit'")),
    ({"arms": ["reinit", "reinit"]}, ("'reinit' against itself",)),
    ({"arms": ["ticket"]}, ("'claim' is on two arms", "or on four", "found 1")),
    ({"arms": ["ticket", "reinit", "dense"]}, ("'claim' is on two arms", "found 3")),
    ({"arms": ["ticket", "reinit", "dense", "dense"]}, ("'dense' against itself",)),
    ({"arms": ["ticket", "reinit", "ticket", "reinit"]}, ("'ticket' less 'reinit' against itself",)),
    ({"arms": ["ticket", "reinit", "dense", "invrt"]}, ("unknown arm 'invrt'", "did you mean 'invert'")),
    (
        {"arms": ["ticket", "reinit", "invert", "random-mask"], "quantity": "measure:jaccard"},
        ("on a measure and four arms",),
    ),
    ({"needs": ["claim"]}, ("'claim' needs itself",)),
    ({"needs": ["other"]}, ("'claim' needs 'other', which is none",)),
    ({"direction": "same"}, ("'claim'", "needs a margin")),
    ({"direction": "different", "margin": 0.1}, ("'claim' has a margin",)),
    ({"direction": "more"}, ("direction", "'more'")),
    ({"densities": [1.5]}, ("densities", "1.5")),
    ({"densities": "some"}, ("densities", "'some'")),
    ({"alpha": 1.0}, ("alpha", "1.0")),
    ({"margin": -0.1}, ("margin", "-0.1")),
    ({"claim": ""}, ("claim",)),
    ({"directon": "greater"}, ("directon", "did you mean 'direction'")),
]


def toml(table: dict[str, Any]) -> str:
    lines = "".join(f"{key} = {value!r}\n" for key, value in table.items())
    return f'model = {{name = "lenet-8-6"}}\ndata = {{name = "digits"}}\n[[hypothesis]]\n{lines}'


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_a_wrong_entry_is_one_sentence(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        parse_study(toml(claim(**changes)), "mine.toml")
    said = str(caught.value)
    assert said.startswith("mine.toml: ")
    assert "\n" not in said
    for word in words:
        assert word in said


def test_names_are_unique_and_a_family_has_one_alpha() -> None:
    with pytest.raises(ValueError, match="'claim' is listed twice"):
        study_of(claim(), claim())
    with pytest.raises(ValueError, match=r"'b' has alpha 0\.01, others of its family 'claims' have 0\.05"):
        study_of(claim("a"), claim("b", alpha=0.01))
    assert len(study_of(claim("a"), claim("b", alpha=0.01, family="other")).hypothesis) == 2


def test_needs_go_one_way() -> None:
    a, b, c = claim("a", needs=["b"]), claim("b", needs=["c"]), claim("c")
    assert study_of(a, b, c).hypothesis[0].needs == ("b",)
    with pytest.raises(ValueError, match="'b' needs itself"):
        study_of(claim("b", needs=["c"]), claim("c", needs=["b"]))
    with pytest.raises(ValueError, match=r"'a' needs 'bb', which is none; did you mean 'b'\?"):
        study_of(claim("a", needs=["bb"]), claim("b"))


def test_hypotheses_do_not_change_an_id_and_read_back() -> None:
    with_one, without = study_of(claim(densities="all")), study_of()
    assert with_one.identity() == without.identity()
    assert parse_study(with_one.to_toml(), "again") == with_one
    assert load_study("quick", ["hypothesis=[]"]).identity() == load_study("quick").identity()


def test_a_registered_arm_that_the_study_lacks_is_no_mistake() -> None:
    [one] = asked(study_of(claim(arms=["ticket", "invert"])), DENSITIES)
    assert one.level is None
    assert one.why == "this study does not train invert at level 3 (51.2%)"


@pytest.mark.parametrize(
    ("wanted", "level"),
    # 10% either way, as a quotient: 0.512 * 1.1 = 0.5632 is within, 0.5633 is not; 0.8 / 1.1 = 0.7273
    [
        (0.512, 3),
        (0.5631, 3),
        (0.5633, None),
        (0.4655, 3),
        (0.4654, None),
        (0.7273, 1),
        (0.72, None),
        (1.0, None),
    ],
)
def test_a_density_is_asked_at_the_nearest_level_within_ten_percent(wanted: float, level: int | None) -> None:
    [one] = asked(study_of(claim(densities=[wanted])), DENSITIES)
    assert (one.level, one.wanted) == (level, wanted)
    assert one.density == (None if level is None else DENSITIES[level])
    assert bool(one.why) is (level is None)


def test_two_densities_of_one_level_are_one_test() -> None:
    found = asked(study_of(claim(densities=[0.512, 0.5, 0.8])), DENSITIES)
    assert [one.level for one in found] == [3, 1]


def test_every_level_is_every_level_that_has_both_arms() -> None:
    arms = [{"name": "reinit", "levels": [1, 3]}]
    assert [one.level for one in asked(study_of(claim(densities="all"), arms=arms), DENSITIES)] == [1, 3]
    dense = claim(densities="all", arms=["dense", "ticket"])
    assert [one.level for one in asked(study_of(dense, arms=arms), DENSITIES)] == [1, 2, 3]
    [none] = asked(study_of(claim(densities="all", arms=["ticket", "invert"])), DENSITIES)
    assert none.why == "no level of this study has both ticket and invert"


def test_one_level_has_no_test_below_dense() -> None:
    [one] = asked(study_of(claim(), levels=0), [1.0])
    assert one.why == "this study has no level below dense"


def test_a_measure_is_read_in_any_order() -> None:
    wanted = MeasureAt("sign-agreement", "end", "weights@dense", "fc1.weight")
    assert MeasureAt.parse("measure:sign-agreement@fc1.weight, end,weights@dense") == wanted
    assert MeasureAt.parse("measure:sign-agreement@weights@dense,fc1.weight,end") == wanted
    assert MeasureAt.parse("measure:cka@fc1.weight") == MeasureAt("cka", "end", "raw", "fc1.weight")
    assert MeasureAt.parse("measure:barrier@end,weights@end") == MeasureAt(
        "barrier", "end", "weights@end", "all"
    )
    assert MeasureAt.parse("measure:jaccard") == MeasureAt("jaccard", None, "raw", "all")
    held_out = MeasureAt("jaccard", None, "weights@dense-held-out", "fc1.weight")
    assert MeasureAt.parse("measure:jaccard@weights@dense-held-out,fc1.weight") == held_out
    assert MeasureAt.parse("measure:jaccard@fc1.weight,weights@dense-held-out") == held_out
    signs = MeasureAt("sign-agreement", "start", "signed-held-out", "all")
    assert MeasureAt.parse("measure:sign-agreement@start,signed-held-out") == signs


def test_an_alignment_that_is_none_or_does_not_fit_is_said_before_anything_is_trained() -> None:
    with pytest.raises(
        UserError, match="unknown alignment 'weights@dense-held'; did you mean 'weights@dense-held-out'"
    ):
        MeasureAt.parse("measure:jaccard@weights@dense-held")
    for name in ("nnstd", "barrier", "paths"):
        with pytest.raises(
            UserError, match=f"'{name}' reads the network as a whole, and 'signed-held-out' lays each"
        ):
            MeasureAt.parse(f"measure:{name}@signed-held-out")


def test_what_five_and_eight_replicates_can_give() -> None:
    """One-sided 1/2^n, two-sided 2/2^n; Holm multiplies the smallest by the number of tests the plan can answer."""
    claims = [claim("a"), claim("b"), claim("c", densities=[0.8]), claim("lost", densities=[0.01])]
    five = prospects(study_of(*claims), DENSITIES)
    assert [p.p_smallest for p in five] == [1 / 32] * 3 + [1.0]
    assert [p.p_holm for p in five[:3]] == [3 / 32] * 3
    assert [p.resolvable for p in five] == [False] * 4
    assert [p.n_needed for p in five] == [6, 6, 6, None]  # 3 / 2^6 = 0.047 is at most 0.05
    eight = prospects(study_of(*claims, replicates=8), DENSITIES)
    assert [p.p_holm for p in eight[:3]] == [3 / 256] * 3
    assert all(p.resolvable for p in eight[:3])
    [two_sided] = prospects(study_of(claim(direction="different")), DENSITIES)
    assert (two_sided.p_smallest, two_sided.n_needed) == (2 / 32, 6)
    [by_t] = prospects(study_of(claim(test="t")), DENSITIES)
    assert (by_t.p_smallest, by_t.resolvable) == (0.0, True)


@pytest.mark.parametrize("quantity", ["measure:jaccard", "early_stop_test_accuracy"])
def test_draws_are_no_replicates(quantity: str) -> None:
    """The ticket against three draws of reinit: whole replicates are swapped, so 1/2^n and no less."""
    [one] = prospects(study_of(claim(quantity=quantity), replicates=3), DENSITIES)
    assert (one.p_smallest, one.n_needed) == (1 / 8, 5)


def test_what_so_few_replicates_cannot_answer_is_one_sentence() -> None:
    claims = [claim("a"), claim("b"), claim("by-t", test="t", family="own")]
    assert unanswerable(study_of(*claims, replicates=5), DENSITIES) == (
        "2 of 3 tests of hypotheses cannot be resolved with 5 replicates, whatever is found (a, b): p is 0.062 at "
        "least by Holm in 'claims', above alpha 0.05; it takes 6"
    )
    assert unanswerable(study_of(*claims, replicates=6), DENSITIES) == ""
    # 1 / (1 + 2^14) is the least that drawn ways give, whatever n is.
    strict = unanswerable(study_of(claim(alpha=1e-5)), DENSITIES)
    assert strict.startswith("1 of 1 test of hypotheses cannot be resolved")
    assert strict.endswith("more replicates alone do not help")
    absent = claim(densities=[0.01])
    assert unanswerable(study_of(absent), DENSITIES) == "", "what has no level is said where levels are"
