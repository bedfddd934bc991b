"""The pruning table of a study: its values, and which rate each tensor gets."""

from __future__ import annotations

import pydantic
import pytest

from tombola.errors import UserError
from tombola.masks.rule import PruneRule, rates_for

ROLES = {
    "conv1.weight": "conv",
    "conv2.weight": "conv",
    "fc1.weight": "linear",
    "fc10.weight": "linear",
    "out.weight": "output",
}


def rates(**given: float) -> list[float]:
    return list(rates_for(PruneRule(rate=0.5, rates=given), ROLES).values())


def test_without_overrides_all_have_the_one_rate() -> None:
    assert rates() == [0.5] * 5


def test_roles_override_the_rate_and_the_output_is_not_a_linear_role() -> None:
    assert rates(conv=0.1, linear=0.2) == [0.1, 0.1, 0.2, 0.2, 0.5]
    assert rates(output=0.0) == [0.5, 0.5, 0.5, 0.5, 0.0]


def test_the_most_specific_key_wins() -> None:
    given = {"fc1.weight": 0.4, "fc1*": 0.3, "linear": 0.2}
    assert rates(**given) == [0.5, 0.5, 0.4, 0.3, 0.5]
    assert rates(**dict(reversed(given.items()))) == [0.5, 0.5, 0.4, 0.3, 0.5], "the order says nothing"


def test_among_patterns_the_one_with_most_letters_wins() -> None:
    assert rates(**{"*": 0.1, "*.weight": 0.2, "conv?.weight": 0.3, "conv2*": 0.6}) == [
        0.3,
        0.3,
        0.2,
        0.2,
        0.2,
    ]


def test_equally_specific_patterns_must_agree() -> None:
    with pytest.raises(UserError, match=r"'conv1.*' and '.*t' both match 'conv1.weight' but differ"):
        rates_for(
            PruneRule(rates={"conv1.*": 0.1, "*weight": 0.2, "*.weigh?": 0.2}), {"conv1.weight": "conv"}
        )
    assert rates(**{"conv1*": 0.1, "*1.weig*": 0.2, "fc*": 0.1})[2] == 0.2
    assert rates(**{"fc1.*": 0.1, "?c1.w*": 0.1}) == [0.5, 0.5, 0.1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("fc1.wieght", "'fc1.wieght' matches no parameter or role; did you mean 'fc1.weight'"),
        ("outptu", "did you mean 'output'"),
        ("dense*", "matches no parameter or role"),
    ],
)
def test_a_key_that_matches_nothing_is_told(key, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        rates(**{key: 0.1})


def test_a_role_the_network_lacks_is_told() -> None:
    with pytest.raises(UserError, match="the network has no 'conv' layer"):
        rates_for(PruneRule(rates={"conv": 0.1}), {"fc.weight": "output"})


@pytest.mark.parametrize(
    "bad",
    [
        {"rate": 0.0},
        {"rate": 1.0},
        {"rate": -0.1},
        {"rate": float("nan")},
        {"rate": "0.2"},
        {"rate": True},
        {"rates": {"conv": 1.0}},
        {"rates": {"conv": -0.1}},
        {"rates": {"conv": "0.1"}},
        {"rtae": 0.2},
    ],
)
def test_a_bad_value_is_refused(bad) -> None:
    with pytest.raises(UserError):
        PruneRule(**bad)


def test_a_rate_of_zero_is_allowed_for_some() -> None:
    assert PruneRule(rates={"conv": 0}).rates == {"conv": 0.0}


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"criterion": "large-finl"}, "unknown criterion 'large-finl'; did you mean 'large-final'"),
        ({"allocation": "layers"}, "unknown allocation 'layers'; did you mean 'layerwise'"),
        ({"structure": "weight"}, "unknown structure 'weight'; did you mean 'weights'"),
    ],
)
def test_an_unknown_part_is_refused_with_the_nearest(bad, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        PruneRule(**bad)


def test_the_rule_is_frozen() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        PruneRule().rate = 0.3  # type: ignore[misc]
