"""Studies of a size that nobody can train, and texts that nest or count too far: a sentence at once, never a hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.faults import FAULTS
from tombola.errors import UserError
from tombola.models.catalog import find
from tombola.study.load import load_study, parse_study, parse_sweep

BASE = '[model]\nname = "lenet-12-8"\n[data]\nname = "digits"\n'
BILLION = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = " + "[" * 5000, "not valid TOML \\(tables or lists nested more than 32 deep\\)"),
        (".".join(["a"] * 5000) + " = 1\n", "not valid TOML \\(tables or lists nested more than 32 deep\\)"),
        ("x = " + "[" * 33 + "]" * 33, "not valid TOML \\(tables or lists nested more than 32 deep\\)"),
        ("replicates = " + "9" * 5000, "not valid TOML \\(a whole number of more than 64 bits\\)"),
        ("replicates = 0x" + "f" * 5000, "not valid TOML \\(a whole number of more than 64 bits\\)"),
        ("replicates = " + "9" * 20, "not valid TOML \\(a whole number of more than 64 bits\\)"),
        (f"replicates = {BILLION}\n{BASE}", "replicates is 1000000000: .* less than or equal to 10000"),
        (f"levels = {BILLION}\n{BASE}", "levels is 1000000000: .* less than or equal to 1000"),
        (f"donors = {BILLION}\n{BASE}", "donors is 1000000000: .* less than or equal to 10000"),
        (
            f"replicates = 10_000\nlevels = 1_000\n{BASE}",
            "10,000 replicates of 1,000 levels with these arms are 10,010,000 networks; expected at most 1,000,000",
        ),
        (
            f'levels = 1_000\nreplicates = 1\n{BASE}[[arms]]\nname = "reinit"\ndraws = 10_000\n',
            "1 replicate of 1,000 levels with these arms are 10,001,001 networks",
        ),
        (f'{BASE}[[arms]]\nname = "reinit"\ndraws = {BILLION}\n', "draws is 1000000000: .* equal to 10000"),
        (
            f'{BASE}[[arms]]\nname = "reinit"\nlevels = [{BILLION}]\n',
            "levels, entry 1 is 1000000000: .* to 1000",
        ),
        *(
            (f"{BASE}[recipe]\n{key} = {BILLION}\n", f"recipe.{key} is 1000000000: .* equal to 100000000")
            for key in ("iterations", "batch", "warmup", "evaluate_every", "curve_every")
        ),
        (f"{BASE}[recipe]\ncrop = {BILLION}\n", "recipe.crop is 1000000000: .* equal to 1000"),
        (
            f"{BASE}[recipe]\niterations = 100_000_000\nevaluate_every = 1\n",
            "100,000,000 iterations are evaluated every 1, more than 1,000,000 times; expected a larger evaluate_every",
        ),
        (f"{BASE}[pruning]\nrewind = {BILLION}\n", "pruning.rewind is 1000000000: .* equal to 100000000"),
        (f"{BASE}[compare]\nnulls = {BILLION}\n", "compare.nulls is 1000000000: .* equal to 100000"),
        (
            BASE
            + "[sweep]\n"
            + "".join(f'"recipe.{key}" = {list(range(1, 102))}\n' for key in ("iterations", "batch")),
            "the sweep is of 10,201 studies; expected at most 10,000",
        ),
    ],
    ids=lambda text: text[-30:],
)
def test_what_is_beyond_all_studies_is_refused_at_once(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^s.toml: .*{sentence}"):
        parse_sweep(text, "s.toml")


def test_a_large_study_is_a_study() -> None:
    study = parse_study(
        f"replicates = 900\nlevels = 1_000\n{BASE}[recipe]\niterations = 100_000_000\n", "s.toml"
    )
    assert study.replicates * (1 + study.levels) == 900_900


def test_a_setting_is_bounded_as_a_file_is() -> None:
    for setting in ("replicates=1e9", f"levels={BILLION}", "replicates=" + "9" * 5000):
        with pytest.raises(UserError) as problem:
            load_study("quick", [setting])
        assert len(str(problem.value)) < 200


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lenet-" + "1" * 4500, "a name of 4,506 characters; expected at most 200"),
        ("lenet-1000000", "numbers in names have up to 6 digits"),
        ("resnet-20-w999999999", "numbers in names have up to 6 digits"),
        ("wrn-999998-1", "999,998 layers; expected at most 1,000"),
        ("vit-4-999999-64", "999,999 layers; expected at most 1,000"),
        ("x" * 200, "unknown model"),
    ],
)
def test_the_numbers_in_the_name_of_a_network_are_bounded(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find(name)(shape=(3, 8, 8), classes=10)


@pytest.mark.parametrize("file", sorted(FAULTS.glob("study-*")))
def test_files_that_ended_in_a_traceback_are_named(file: object) -> None:
    with pytest.raises(UserError, match=r"iterations is 4611686018427387904"):
        parse_study(Path(str(file)).read_text(), str(file))
