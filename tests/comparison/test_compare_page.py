"""docs/compare.md: every measure, null, alignment and family that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tombola.alignment.align import ALIGNMENTS
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.nulls import NULLS

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()


def section(title: str) -> str:
    """The text under a heading, to the next of its rank or above."""
    rank = title.index(" ")
    return re.split(rf"^#{{1,{rank}}} ", PAGE.split(f"\n{title}", 1)[1], maxsplit=1, flags=re.M)[0]


def named(text: str) -> set[str]:
    """The names in the first column of its tables, `a-b, -c` being a-b and a-c."""
    found = set[str]()
    for line in re.findall(r"^\| (`[^|]*`) \|", text, flags=re.M):
        first, *others = re.findall(r"`([^`]+)`", line)
        stem = first.rpartition("-")[0]
        found |= {first, *(f"{stem}{other}" if other.startswith("-") else other for other in others)}
    return found


@pytest.mark.parametrize("family", sorted({measure.family for measure in MEASURES.values()}))
def test_every_measure_is_under_its_family(family: str) -> None:
    assert named(section(f"### {family}")) == {n for n, m in MEASURES.items() if m.family == family}


def test_every_null_and_alignment_is_explained() -> None:
    assert named(section("## Alignment")) == set(ALIGNMENTS)
    own = {null for measure in MEASURES.values() for null in measure.nulls}
    assert named(section("## Nulls")) == {*NULLS, *own}


@pytest.mark.parametrize("name", MEASURES)
def test_its_row_names_the_nulls_and_says_where_small_is_alike(name: str) -> None:
    measure, text = MEASURES[name], section(f"### {MEASURES[name].family}")
    row = next(line for line in text.splitlines() if name in named(line))
    for null in measure.nulls:
        assert (
            f"`{null}`" in row
            or f"null `{null}`" in PAGE.split(f"\n### {measure.family}", 1)[1].splitlines()[0]
        )
    assert ("small is alike" in row) == (measure.alike < 0)
