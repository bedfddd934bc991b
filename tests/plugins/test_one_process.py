"""One process has one part of a name, and one source of a module: what would mix them up is refused by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tombola import parts
from tombola.errors import UserError
from tombola.files import write_json
from tombola.lottery.arms.catalog import ARMS
from tombola.plugins import load
from tombola.plugins.load import load_function, load_imports
from tombola.plugins.source import Code
from tombola.study.arm_spec import ArmSpec
from tombola.study.imported import IMPORTS, remember


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is loaded and remembered here is forgotten."""
    monkeypatch.setattr(parts, "REMEMBERED", type(parts.REMEMBERED)(dict))
    monkeypatch.setattr(load, "LOADED", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def made_with(folder: str, weights: str) -> Path:
    """A run folder that says what its own arm does."""
    facts = {"mask": "keep", "weights": weights, "dead": "zero"}
    path = Path(folder)
    path.mkdir()
    write_json(
        path / IMPORTS, {"imports": {"mine.py": "0" * 16}, "parts": {"arm": {"mine": {"facts": facts}}}}
    )
    return path


def test_two_runs_whose_arms_of_one_name_differ_are_not_read_as_one() -> None:
    remember(made_with("a", "rewind"))
    remember(made_with("b", "rewind"))
    assert ArmSpec(name="mine").arm.weights == "rewind"
    with pytest.raises(UserError, match=r"arm 'mine' of this run is mask keep, weights reinit.*another one"):
        remember(made_with("c", "reinit"))
    assert ArmSpec(name="mine").arm.weights == "rewind", "the first is as it was"


def test_a_part_of_the_house_is_what_it_is() -> None:
    parts.remember("criterion", "snip", {"probe": False, "rounds": 7})
    assert parts.facts("criterion", "snip") == {"probe": True, "rounds": 1}
    with pytest.raises(
        UserError, match="this process knows another one of that name, mask keep, weights reinit"
    ):
        parts.remember(ARMS.kind, "reinit", {"mask": "another"})
    assert ArmSpec(name="reinit").arm == ARMS["reinit"]


@pytest.mark.parametrize("name", ["changing.py:made", "changing:made"])
def test_code_that_was_changed_since_it_ran_is_refused(name: str) -> None:
    Path("changing.py").write_text("def made():\n    return 1\n")
    assert load_function(Code(name), "model", "factory")() == 1
    assert load_function(Code(name), "model", "factory")() == 1
    Path("changing.py").write_text("def made():\n    return 2\n")
    with pytest.raises(
        UserError, match=r"changing.py was changed since this process ran it; begin a process"
    ):
        load_function(Code(name), "model", "factory")
    del sys.modules["changing"]
    sys.path_importer_cache.clear()
    Path("changing.py").write_text("def made():\n    return 3.5\n")
    assert load_function(Code(name), "model", "factory")() == 3.5, "loaded anew, it is the new one"


def test_what_it_imports_counts_too() -> None:
    Path("helper_of.py").write_text("VALUE = 1\n")
    Path("caller_of.py").write_text("import helper_of\n\n\ndef made():\n    return helper_of.VALUE\n")
    assert load_function(Code("caller_of.py:made"), "model", "factory")() == 1
    Path("helper_of.py").write_text("VALUE = 22\n")
    with pytest.raises(UserError, match=r"caller_of.py was changed since"):
        load_function(Code("caller_of.py:made"), "model", "factory")


def test_a_module_of_the_same_name_in_another_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "twice_there.py").write_text(f"NAME = '{folder}'\n")
    monkeypatch.chdir("one")
    load_imports(["twice_there"])
    monkeypatch.chdir("../two")
    with pytest.raises(
        UserError, match=r"this process has run module 'twice_there' of .*one, and .*two.* is another"
    ):
        load_imports(["twice_there"])
    load_imports([str(Path("twice_there.py").resolve())])
    load_imports(["twice_there.py"])
