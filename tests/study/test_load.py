"""Reading studies: `key=value`, files, and errors in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import tiny
from tombola.errors import UserError
from tombola.study import load
from tombola.study.arm_spec import ArmSpec
from tombola.study.load import load_study
from tombola.study.spec import Study


def test_a_setting_by_its_dotted_key_or_its_last_part() -> None:
    assert load_study("quick", ["recipe.lr=0.5"]) == load_study("quick", ["lr=0.5"])
    assert load_study("quick", ["lr=0.5"]).recipe.lr == 0.5
    assert load_study("quick", ["lr = 5e-1"]).recipe.lr == 0.5
    assert load_study("quick", ["recipe.batch=7"]).recipe.batch == 7
    assert load_study("quick", ["pruning.rates.output=0.25"]).pruning.rates == {"output": 0.25}
    assert load_study("quick", ["model.options.dropout=0.5"]).model.options == {"dropout": 0.5}


def test_settings_are_put_on_in_order_and_leave_the_rest() -> None:
    study = load_study(
        "quick", ["levels=2", "levels=3", "title=a study of mine", 'arms=[{name="reinit", draws=2}]']
    )
    assert (study.levels, study.title) == (3, "a study of mine")
    assert study.arms == (ArmSpec(name="reinit", draws=2),)
    assert study.recipe == load_study("quick").recipe


def test_a_top_level_key_wins_over_the_same_word_in_a_table() -> None:
    study = load_study("quick", ["name=mine"])
    assert (study.name, study.model.name, study.data.name) == ("mine", "lenet-300-100", "digits")


def test_zero_is_a_seed_like_any_other() -> None:
    assert load_study("quick", ["seed=0"]).seed == 0
    assert load_study("quick", ["seed=0"]).identity() != load_study("quick", ["seed=1"]).identity()


def test_a_last_part_that_two_tables_have_must_be_dotted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_keys", lambda: ["recipe.speed", "pruning.speed"])
    with pytest.raises(UserError, match=r"--set speed: say which one: recipe\.speed, pruning\.speed"):
        load_study("quick", ["speed=3"])


WRONG: list[tuple[str, tuple[str, ...]]] = [
    # setting -> what the sentence must name: the key, what was found, what was expected
    ("recipe.lrr=1", ("recipe.lrr", "did you mean 'recipe.lr'")),
    ("lrr=1", ("lrr", "did you mean 'lr'")),
    ("recipee.lr=1", ("recipee", "did you mean 'recipe'")),
    ("zzz=1", ("zzz", "iterations", "rate")),
    ("lr=fast", ("recipe.lr", "'fast'", "number")),
    ("lr=0", ("recipe.lr", "0", "greater than 0")),
    ("lr=inf", ("recipe.lr", "inf", "finite")),
    ("lr=nan", ("recipe.lr", "nan", "finite")),
    ("betas=[0.9,inf]", ("recipe.betas.1", "inf", "finite")),
    ("model.options.dropout=inf", ("model.options.dropout", "inf", "finite")),
    ("batch=60.0", ("recipe.batch", "60.0", "integer")),
    ("iterations='100'", ("recipe.iterations", "'100'", "integer")),
    ("levels=3.0", ("levels", "3.0", "integer")),
    ("levels=true", ("levels", "True", "integer")),
    ("seed=true", ("seed", "True", "integer")),
    ("seed=-1", ("seed", "-1", "0")),
    ("replicates=0", ("replicates", "0", "greater than 0")),
    ("rate=0", ("pruning.rate", "0", "greater than 0")),
    ("rate=1", ("pruning.rate", "1", "less than 1")),
    ("rate=-0.1", ("pruning.rate", "-0.1", "greater than 0")),
    ("rate=20", ("pruning.rate", "20", "less than 1")),
    ("rate=true", ("pruning.rate", "True", "number")),
    ("pruning.rates.output=1.0", ("pruning.rates.output", "1.0", "less than 1")),
    ("nesterov=banana", ("recipe.nesterov", "'banana'", "boolean")),
    ("nesterov=Falsch", ("recipe.nesterov", "'Falsch'", "boolean")),
    ("optimizer=adm", ("recipe.optimizer", "'adm'", "'adam'")),
    ("schedule=cosin", ("schedule", "'cosin'", "did you mean 'cosine'")),
    ("criterion=largest-final", ("pruning.criterion", "'largest-final'", "did you mean 'large-final'")),
    ("allocation=globl", ("pruning.allocation", "'globl'", "did you mean 'global'")),
    ("mode=oneshot", ("pruning.mode", "'oneshot'", "'one-shot'")),
    ("keep=weights", ("store.keep", "'weights'", "'masks'")),
    ("data.name=mnst", ("data.name", "'mnst'", "did you mean 'mnist'")),
    ("model=conv-2", ("model", "'conv-2'", "such as [model] name = ...")),
    ("model.nam=conv-2", ("model.nam", "did you mean 'model.name'")),
    ("model.options.dropout=[1]", ("model.options.dropout is [1]",)),
    ("validation=5000.0", ("data.validation", "5000.0", "count")),
    ("rewind=1500", ("pruning.rewind", "1500", "less than")),
    ("name=a/b", ("name", "'a/b'", "match")),
    ("name=..", ("name", "'..'", "match")),
    ("title=3", ("title", "3", "string")),
    ('arms=[{name="reinitt"}]', ("arms, entry 1: unknown arm 'reinitt'", "did you mean 'reinit'")),
    ('arms=[{name="reinit", drows=2}]', ("arms, entry 1, drows", "did you mean 'draws'")),
    ('arms=[{name="reinit", draws=0}]', ("arms, entry 1, draws is 0", "0", "greater than 0")),
    ('arms=[{name="reinit", levels=[0]}]', ("arms, entry 1, levels, entry 1 is 0", "0", "greater than 0")),
    ('arms=[{name="reinit"}, {name="reinit"}]', ("'reinit'", "twice", "draws")),
    ('arms=[{name="ticket", draws=2}]', ("arms, entry 1", "ticket", "one draw")),
    ("arms.0.draws=2", ("arms", "not a table")),
    ("curve_every=30", ("curve_every", "30", "multiple of", "25")),
    ("lr", ("lr", "key=value")),
    ("=3", ("=3", "key=value")),
]


@pytest.mark.parametrize(("setting", "words"), WRONG, ids=[setting for setting, _ in WRONG])
def test_a_wrong_setting_is_one_sentence(setting: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        load_study("quick", [setting])
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "validation error" not in sentence
    for word in words:
        assert word in sentence


# --- files --------------------------------------------------------------------------------------------------


def test_a_study_file_is_read_like_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nlevels = 2\n[model]\nname = "conv-2"\n[data]\nname = "cifar10"\n')
    study = load_study(str(path), ["replicates=1"])
    assert (study.name, study.levels, study.replicates) == ("mine", 2, 1)
    assert (study.model.name, study.data.name) == ("conv-2", "cifar10")


BROKEN = {
    "not toml": (b"name = = 3", "not valid TOML"),
    "not text": (b"\xff\xfe\x00", "cannot be read"),
    "no model": (b'[data]\nname = "digits"\n', "'model' is missing"),
    "no data": (b'[model]\nname = "conv-2"\n', "'data' is missing"),
    "empty": (b"", "'model' is missing"),
    "unknown table": (
        b'[modell]\nname = "conv-2"\n[model]\nname="conv-2"\n[data]\nname="digits"\n',
        "'modell'",
    ),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_study_file_is_named(kind: str, tmp_path: Path) -> None:
    content, words = BROKEN[kind]
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_study(str(path))
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("quik", "did you mean 'quick'"),
        ("lenet-mnst", "did you mean 'lenet-mnist'"),
        ("nowhere.toml", "no such study file"),
        ("./nowhere", "no such study file"),
    ],
)
def test_an_unknown_study_is_said_so(source: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_study(source)


def test_a_study_cannot_be_changed_under_a_run() -> None:
    with pytest.raises(ValueError, match="frozen"):
        tiny().levels = 3  # type: ignore[misc]
    assert isinstance(tiny(), Study)
