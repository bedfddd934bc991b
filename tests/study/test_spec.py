"""Specs: what makes the id, what an extension holds, and a round trip through TOML."""

from __future__ import annotations

from typing import Any

import pytest

from support.study_kit import tiny
from tombola.study.arm_spec import ArmSpec
from tombola.study.load import parse_study
from tombola.study.spec import Study

EXTENSIONS: list[dict[str, Any]] = [
    {"levels": 5},
    {"replicates": 7},
    {"arms": []},
    {"arms": [{"name": "reinit", "draws": 3, "levels": [2]}]},
    {"title": "another title"},
]
DECIDING: list[dict[str, Any]] = [
    {"seed": 1},
    {"model": {"name": "lenet-8-7"}},
    {"model": {"options": {"dropout": 0.5}}},
    {"data": {"name": "digits"}},
    {"data": {"validation": 31}},
    {"data": {"normalisation": "unit"}},
    {"data": {"digest": "0123456789abcdef"}},
    {"recipe": {"iterations": 21}},
    {"recipe": {"lr": 0.011}},
    {"recipe": {"optimizer": "sgd"}},
    {"recipe": {"evaluate_every": 10}},
    {"pruning": {"rate": 0.31}},
    {"pruning": {"rates": {"output": 0.1}}},
    {"pruning": {"mode": "one-shot"}},
    {"pruning": {"rewind": 5}},
    {"pruning": {"allocation": "global"}},
]
DEFAULTS: list[dict[str, Any]] = [
    {"seed": 0},
    {"recipe": {"momentum": 0.0}},
    {"recipe": {"optimizer": "adam", "betas": [0.9, 0.999], "precision": "float32"}},
    {"pruning": {"mode": "iterative", "rewind": 0, "rates": {}}},
    {"data": {"normalisation": "standard"}},
    {"store": {"keep": "living"}},
    {"model": {"options": {}}},
]


@pytest.mark.parametrize("change", EXTENSIONS, ids=str)
def test_what_extends_a_study_does_not_enter_its_id(change: dict[str, Any]) -> None:
    assert tiny(**change) != tiny()
    assert tiny(**change).identity() == tiny().identity()


def test_all_that_decides_a_cell_enters_the_id_and_each_change_gives_another() -> None:
    ids = [tiny(**change).identity() for change in DECIDING]
    assert len({*ids, tiny().identity()}) == len(DECIDING) + 1


@pytest.mark.parametrize("change", DEFAULTS, ids=str)
def test_an_option_at_its_default_does_not_enter_the_id(change: dict[str, Any]) -> None:
    assert tiny(**change).identity() == tiny().identity()


def test_the_name_is_in_the_folder_and_not_in_the_id() -> None:
    assert tiny(name="other").identity() == tiny().identity()
    assert tiny(name="other").folder == f"other-{tiny().identity()}"


def test_a_spec_survives_toml() -> None:
    study = tiny(
        title='quotes " and ünïcode',
        arms=[{"name": "reinit", "draws": 2, "levels": [1, 2]}, {"name": "random-mask"}],
        pruning={"rates": {"output": 0.15, "fc1.*": 0.0}, "mode": "one-shot"},
        recipe={
            "optimizer": "sgd",
            "momentum": 0.9,
            "nesterov": True,
            "schedule": "milestones",
            "milestones": [4, 9],
        },
        model={"options": {"dropout": 0.25}},
    )
    again = parse_study(study.to_toml(), "study.toml")
    assert again == study
    assert again.identity() == study.identity()


def test_widened_holds_what_both_hold() -> None:
    old = tiny(
        levels=4,
        replicates=2,
        arms=[{"name": "reinit", "draws": 3, "levels": [1, 2]}, {"name": "random-mask"}],
    )
    new = tiny(
        levels=3, replicates=5, arms=[{"name": "reinit", "levels": [2, 3]}, {"name": "random-mask-global"}]
    )
    wide = new.widened(old)
    assert (wide.levels, wide.replicates) == (4, 5)
    assert set(wide.arms) == {
        ArmSpec(name="reinit", draws=3, levels=(1, 2, 3)),
        ArmSpec(name="random-mask"),
        ArmSpec(name="random-mask-global"),
    }
    assert wide.identity() == old.identity()


def test_an_arm_at_every_level_stays_at_every_level() -> None:
    some, every = tiny(arms=[{"name": "reinit", "levels": [1]}]), tiny(arms=[{"name": "reinit"}])
    assert some.widened(every).arms == every.widened(some).arms == (ArmSpec(name="reinit"),)


def test_arms_as_a_shorter_ladder_has_them() -> None:
    arms = [
        {"name": "reinit", "draws": 2, "levels": [3, 7, 12, 15]},
        {"name": "random-mask"},
        {"name": "reshuffle", "levels": [15]},
    ]
    table = {"model": {"name": "lenet-8-6"}, "data": {"name": "digits"}, "levels": 15}
    whole = Study.model_validate({**table, "arms": arms})
    assert whole.trained_arms == whole.arms
    twelve = whole.model_copy(update={"levels": 12}).trained_arms
    assert [(arm.name, arm.draws, arm.levels) for arm in twelve] == [
        ("reinit", 2, (3, 7, 12)),
        ("random-mask", 1, None),
    ]
    assert whole.model_copy(update={"levels": 0}).trained_arms == ()
