"""The page on engines says what the stored run of the bench says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "concepts" / "engines.md"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `benchmarks/tables.py` prints."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tables = __import__("tables")
    sys.modules.pop("tables")
    return [*tables.linear(), tables.another_day(), *tables.convolutions()]


def test_every_number_of_the_tables_was_measured(measured: list[str]) -> None:
    page = PAGE.read_text()
    assert len(measured) == 18
    assert [line for line in measured if line not in page] == []
