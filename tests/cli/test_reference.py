"""docs/study-file.md is what the types say, and has every key."""

from __future__ import annotations

from tombola.cli.reference import PAGE, written
from tombola.study.load import _keys


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == written(), "python -m tombola.cli.reference"


def test_it_has_every_key() -> None:
    text = written()
    for key in _keys():
        table, _, leaf = key.rpartition(".")
        if table:
            section = text[text.index(f"## `[{table}]`") :].partition("\n## ")[0]
            assert f"| `{leaf}` |" in section or f"## `[{key}]`" in text
    for table in ("[arms]", "[hypothesis]", "[expect]", "compare", "store"):
        assert f"## `[{table}]`" in text
