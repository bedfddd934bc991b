"""CONTRIBUTING.md: its rooms and the files of its walk are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "tombola"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WALK = TEXT[TEXT.index("follow one weight") : TEXT.index("## Adding a part")].strip().splitlines()[2:]


def test_the_table_has_every_room() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    named = {name.removesuffix("/") for row in rows for name in re.findall("`(.*?)`", row)}
    here = {path.name for path in HOUSE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    files = {path.name for path in HOUSE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert named == here | files
    within = {name for name in re.findall("`([a-z/]+)/`", TEXT) if name not in named}
    assert all(any(HOUSE.rglob(name)) for name in within)


def test_the_walk_is_short_and_leads_where_it_says() -> None:
    steps = re.findall(r"`(\w+(?:/\w+)+\.py)(?:: (\w+))?`", "\n".join(WALK))
    assert len(WALK) <= 10
    assert len({file for file, _ in steps}) <= 12
    assert steps
    for file, name in steps:
        assert re.search(rf"^ *(?:def|class) {name}\b", (HOUSE / file).read_text(), re.MULTILINE), (
            file,
            name,
        )
