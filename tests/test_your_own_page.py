"""docs/your-own.md: its program runs, and its table has every kind of data in files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tombola.data.spec import IN_FILES

TEXT = (Path(__file__).parents[1] / "docs" / "your-own.md").read_text()


def test_its_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [program] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(program, "docs/your-own.md", "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("100.0% ")
    assert len(lines) == 2


def test_its_table_has_every_kind() -> None:
    assert sorted(re.findall(r"^\| `(\w+):", TEXT, re.MULTILINE)) == sorted(IN_FILES)
