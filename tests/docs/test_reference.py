"""The generated reference has every part, key, command and name, each with what is said of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_build.columns import MEANINGS
from docs_build.parts_pages import FORMULAS, path_of
from docs_build.reference import pages
from docs_build.run_folder import TABLES as TABLES_OF_A_RUN
from docs_build.study_file import TABLES, searches, sentences
from docs_build.tables import anchor, source
from tombola.cli.kinds import KINDS, lines
from tombola.comparison.measures.base import MEASURES
from tombola.lottery.arms.catalog import ARMS
from tombola.study.load import presets

DOCS = Path(__file__).parents[2] / "docs"
PAGES = pages()
"""Path -> Markdown."""


def sections(path: str) -> dict[str, str]:
    """Anchor -> the text under it, on a generated page."""
    found = re.split(r"^## .*\{ #(.+?) \}$", PAGES[path], flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_has_a_place_with_its_line(kind: str) -> None:
    found = sections(path_of(kind))
    assert [*found] == [anchor(name) for name in lines(kind)], "each once: anchors tell names apart"
    for name, line in lines(kind).items():
        first_words = line.split(" (")[0].split("[")[0]
        assert first_words[1:].rstrip(".") in found[anchor(name)], name


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_has_its_formula_null_and_source(name: str) -> None:
    text = sections("reference/measures.md")[anchor(name)]
    rows = dict(re.findall(r"^\| ([\w ]+) \| (.*) \|$", text, re.MULTILINE))
    assert rows["formula"]
    assert all(null in rows["null"] for null in MEASURES[name].nulls)
    assert rows.get("source", "") == source(MEASURES.describe(name))
    assert FORMULAS[name][1] in ("quick", "quick, exact", "sampled", "slow")


def test_an_arm_says_its_three_actions() -> None:
    found = sections("reference/arms.md")
    for name, arm in ARMS.items():
        for kind, action in (("mask", arm.mask), ("weights", arm.weights), ("dead", arm.dead)):
            assert f"| {kind} | [`{action}`]({kind}-actions.md#{anchor(action)}) |" in found[anchor(name)]


@pytest.mark.parametrize("model", [*TABLES.values(), *searches().values()], ids=lambda model: model.__name__)
def test_every_key_of_a_study_has_a_sentence(model: type) -> None:
    said = sentences(model)
    assert [name for name in model.model_fields if not said.get(name)] == [], (
        "put a docstring below the field"
    )
    page = PAGES["reference/study-file.md"]
    assert all(f"| `{field.alias or name}` |" in page for name, field in model.model_fields.items())
    assert "typing." not in page


def test_keys_say_what_they_take_and_their_default() -> None:
    page = PAGES["reference/study-file.md"]
    assert '| `optimizer` | text | `"adam"` |' in page
    assert "| `rate` | a number, above 0, below 1 | `0.2` |" in page
    assert "| `arms` | a list of [`[[arms]]`](#arms) | none |" in page
    assert "| `betas` | 2 of: a number, 0 or more, below 1 | `[0.9, 0.999]` |" in page


def test_every_command_is_there_with_its_options() -> None:
    page = PAGES["reference/command-line.md"]
    for command in ("run", "compare", "data fetch", "ticket export", "figure", "doctor"):
        assert f"## `tombola {command}`" in page
    assert "| `--dry-run` |" in page


def test_every_public_name_is_asked_of_mkdocstrings() -> None:
    import tombola

    asked = re.findall(r"^::: [\w.]+\.(\w+)$", PAGES["reference/python.md"], re.MULTILINE)
    assert sorted(asked) == sorted(name for name in tombola.__all__ if not name.startswith("_"))


def test_presets_are_on_their_page_and_the_papers_name_none_that_is_not_there() -> None:
    assert [*sections("reference/presets.md")] == [*presets()]
    family = re.compile(r"`((?:lenet|conv\d|resnet20|vgg\d\d|findings|criteria)-[a-z0-9-]+)`")
    named = {name for page in (DOCS / "papers").glob("*.md") for name in family.findall(page.read_text())}
    models = {name.split("-")[0] for name in named}
    assert {"lenet", "conv2", "resnet20", "vgg16", "vgg19"} <= models
    assert named - {*presets()} == set()


def test_the_run_folder_says_its_files_and_columns() -> None:
    page = PAGES["reference/run-folder.md"]
    assert {name for schema in TABLES_OF_A_RUN.values() for name in schema} == {*MEANINGS}
    for word in ("study.toml", "mask.safetensors", "`early_stop_test_accuracy`", "`expected`", "`p_holm`"):
        assert word in page
