"""Installed packages announce modules that register parts; they are imported when a name is not the house's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.own_parts import MINE, forgotten
from tombola import parts, registry
from tombola.cli import names
from tombola.cli.kinds import lines
from tombola.errors import Notice
from tombola.masks.criteria import CRITERIA


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, one of which announces a plug-in that is still to be written."""
    monkeypatch.setattr(parts, "REMEMBERED", type(parts.REMEMBERED)(dict))
    about = tmp_path / "announced-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tombola.plugins]\nannounced = announced_parts\n")
    with forgotten("announced_parts"):
        monkeypatch.syspath_prepend(tmp_path)
        registry.load_announced.cache_clear()
        yield tmp_path / "announced_parts.py"
    registry.load_announced.cache_clear()


def test_a_name_that_is_announced_is_known(install: Path) -> None:
    install.write_text(MINE)
    assert "large-final" in CRITERIA
    assert "announced_parts" not in sys.modules, "nothing is imported before it is needed"
    assert "my-move" in names.names("criteria"), "the tab key reads the source"
    assert "announced_parts" not in sys.modules
    assert parts.facts("criterion", "my-move") == {"probe": False, "rounds": 1}
    assert CRITERIA["my-move"].__name__ == "move"


def test_the_catalogue_lists_what_is_announced(install: Path) -> None:
    install.write_text(MINE)
    assert lines("criteria")["my-move"] == "How far training moved a weight (mine, 2026)."


def test_one_that_fails_is_said_and_left_out(install: Path) -> None:
    install.write_text("import nowhere_to_be_found\n")
    with pytest.warns(
        Notice, match=r"plug-in 'announced' \(announced_parts\) cannot be loaded: ModuleNotFound"
    ):
        assert "my-move" not in CRITERIA
