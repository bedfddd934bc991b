"""Sweeps as data: which studies a [sweep] table makes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tombola.errors import UserError
from tombola.study.load import load_study, load_sweep, parse_study, parse_sweep
from tombola.study.sweep import label_of

BASE = """
name = "tiny"
title = "Tiny"
levels = 2
{more}
[model]
name = "lenet-8-6"
[data]
name = "digits"
[recipe]
lr = 0.01
{sweep}
"""


def text(sweep: str, more: str = "") -> str:
    return BASE.format(sweep=sweep, more=more)


def test_every_combination_is_a_member_and_the_last_key_changes_fastest() -> None:
    sweep = parse_sweep(
        text('[sweep]\n"pruning.criterion" = ["random", "movement"]\n"pruning.rate" = [0.2, 0.3]'), "x"
    )
    assert sweep.keys == ("pruning.criterion", "pruning.rate")
    assert [(m.study.pruning.criterion, m.study.pruning.rate) for m in sweep.members] == [
        ("random", 0.2),
        ("random", 0.3),
        ("movement", 0.2),
        ("movement", 0.3),
    ]
    assert [m.label for m in sweep.members][1] == "criterion random, rate 0.3"
    assert sweep.members[2].values == {"pruning.criterion": "movement", "pruning.rate": 0.2}


def test_a_member_is_the_study_that_the_same_settings_make(tmp_path: Path) -> None:
    (tmp_path / "alone.toml").write_text(text(""))
    sweep = parse_sweep(text('[sweep]\n"pruning.criterion" = ["random", "movement"]'), "x")
    for member in sweep.members:
        setting = f"pruning.criterion={member.study.pruning.criterion}"
        assert member.study == load_study(str(tmp_path / "alone.toml"), [setting])


@pytest.mark.parametrize(
    "table",
    [
        '[sweep]\n"pruning.criterion" = ["random", "movement"]',
        '[sweep]\ncriterion = ["random", "movement"]',
        '[sweep.pruning]\ncriterion = ["random", "movement"]',
    ],
    ids=["dotted", "last part alone", "nested"],
)
def test_keys_are_dotted_short_or_nested(table: str) -> None:
    assert parse_sweep(text(table), "x").keys == ("pruning.criterion",)


def test_a_study_without_a_sweep_is_a_sweep_of_one() -> None:
    sweep = parse_sweep(text(""), "x")
    assert (sweep.keys, len(sweep.members)) == ((), 1)
    assert sweep.first == parse_study(text(""), "x")


def test_whole_tables_and_lists_can_be_swept() -> None:
    whole = parse_sweep(
        'levels = 1\n[data]\nname = "digits"\n[sweep]\nmodel = [{name = "lenet-8-6"}, {name = "lenet-9-6"}]\n'
        '"recipe.betas" = [[0.8, 0.9], [0.9, 0.99]]',
        "x",
    )
    assert [m.label for m in whole.members][:2] == [
        "model lenet-8-6, betas [0.8,0.9]",
        "model lenet-8-6, betas [0.9,0.99]",
    ]
    assert whole.members[3].study.recipe.betas == (0.9, 0.99)


def test_keys_that_end_alike_are_said_in_full() -> None:
    assert (
        label_of({"model.name": "a", "data.name": "b", "recipe.lr": 0.1})
        == "model.name a, data.name b, lr 0.1"
    )
    assert label_of({"recipe.nesterov": True}) == "nesterov true"


# --- settings -----------------------------------------------------------------------------------------------


def test_a_setting_with_a_list_sweeps_over_a_key_that_holds_none() -> None:
    sweep = load_sweep("quick", ["rate=[0.2,0.4]"])
    assert [m.study.pruning.rate for m in sweep.members] == [0.2, 0.4]  # in place of the preset's own
    assert load_study("quick", ["betas=[0.8,0.9]"]).recipe.betas == (0.8, 0.9)
    assert load_study("quick", ["arms=[]"]).arms == ()
    assert load_study("quick", ["schedule=milestones", "milestones=[5,10]"]).recipe.milestones == (5, 10)


def test_a_setting_with_a_list_takes_the_place_of_a_swept_one() -> None:
    sweep = load_sweep("criteria-digits", ['criterion=["movement"]', "replicates=2"])
    assert [(m.study.pruning.criterion, m.study.replicates) for m in sweep.members] == [("movement", 2)]


# --- names ---------------------------------------------------------------------------------------------------


def test_a_setting_with_one_value_takes_the_key_out_of_the_sweep() -> None:
    both = text('[sweep]\n"pruning.criterion" = ["random", "movement"]\nseed = [1, 2]')
    left = parse_sweep(both, "x", ["criterion=movement"])
    assert left.keys == ("seed",)
    assert [member.study.pruning.criterion for member in left.members] == ["movement"] * 2
    assert parse_sweep(both, "x", ["criterion=movement", "seed=2"]).keys == ()


def test_the_folder_knows_the_members_and_not_what_can_be_extended() -> None:
    table = '[sweep]\n"pruning.rate" = [0.2, 0.3]'
    name = parse_sweep(text(table), "x").folder
    assert name.startswith("tiny-")
    assert len(name) == len("tiny-01234567")
    assert parse_sweep(text(table, "replicates = 7"), "x").folder == name
    assert parse_sweep(text('[sweep]\n"pruning.rate" = [0.3, 0.2]'), "x").folder == name
    assert parse_sweep(text('[sweep]\n"pruning.rate" = [0.3, 0.25]'), "x").folder != name
    assert parse_sweep(text(table, "seed = 1"), "x").folder != name
    assert name not in {m.study.folder for m in parse_sweep(text(table), "x").members}


def test_the_folder_of_a_sweep_stays_what_it_is() -> None:
    """When this fails, people can no longer extend their sweeps; see the ids of the presets."""
    assert load_sweep("criteria-digits").folder == "criteria-digits-c3b50525"


# --- refusals ------------------------------------------------------------------------------------------------

WRONG = {
    "unknown table": ('"prunning.rate" = [0.1]', ("[sweep] prunning.rate", "did you mean 'pruning'")),
    "unknown key": ('"pruning.rat" = [0.1]', ("pruning.rat", "did you mean 'pruning.rate'")),
    "unknown short key": ("rat = [0.1]", ("[sweep] rat", "did you mean 'rate'")),
    "unknown value": (
        '"pruning.criterion" = ["random", "larg-final"]',
        ("'larg-final'", "did you mean 'large-final'"),
    ),
    "value out of range": ('"pruning.rate" = [0.1, 2.0]', ("pruning.rate", "2.0")),
    "not finite": ('"pruning.rate" = [0.1, nan]', ("pruning.rate", "nan", "finite")),
    "empty list": ('"pruning.rate" = []', ("pruning.rate", "empty list")),
    "no list": ('"pruning.rate" = 0.1', ("pruning.rate", "0.1", "expected a list")),
    "also set": ('"recipe.lr" = [0.1]', ("'recipe.lr'", "swept and also set")),
    "its table also set": ("recipe = [{lr = 0.1}]", ("'recipe'", "swept and also set")),
    "a key in a key": ('model = [{name = "a"}]\n"model.name" = ["b"]', ("swept and also set",)),
    "in no table": ('"seed.x" = [1]', ("seed",)),
    "a value twice": ('"pruning.rate" = [0.1, 0.1]', ("rate 0.1", "one run")),
    "what changes no cell": ("levels = [1, 2]", ("also set",)),
    "what is not in the id": ("replicates = [1, 2]", ("replicates 1", "replicates 2", "one run")),
}


@pytest.mark.parametrize("kind", sorted(WRONG))
def test_a_wrong_sweep_is_one_sentence(kind: str) -> None:
    lines, words = WRONG[kind]
    with pytest.raises(UserError) as caught:
        parse_sweep(text(f"[sweep]\n{lines}"), "mine.toml")
    sentence = str(caught.value)
    assert sentence.startswith("mine.toml: ")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_a_sweep_that_is_no_table_is_refused() -> None:
    with pytest.raises(UserError, match="sweep is 3, expected a table"):
        parse_sweep("sweep = 3\n" + text(""), "x")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("criterion=[]", "an empty list"),
        ('criterion=["rndom"]', "did you mean 'random'"),
        ("model.options.dropout=[0.1]", r"model.options.dropout is \[0.1\]"),
    ],
)
def test_a_wrong_setting_of_a_sweep_is_one_sentence(setting: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_sweep("criteria-digits", [setting])


def test_what_takes_one_study_says_so_of_a_sweep() -> None:
    with pytest.raises(UserError, match=r"sweeps over pruning\.criterion and is 4 studies, expected one"):
        load_study("criteria-digits")
