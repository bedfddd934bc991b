"""Registries: parts by name, nearest names in errors, nothing registered twice."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tombola import registry
from tombola.errors import UserError, nearest
from tombola.registry import Registry


@pytest.fixture
def tools() -> Registry[object]:
    found: Registry[object] = Registry("tool")

    @found.register("saw")
    def saw() -> None:
        """Cuts wood.

        Slowly.
        """

    found.register("hammer", "drives nails")(object())
    found.register("glue")(lambda: None)
    return found


def test_a_part_is_found_by_its_name_and_left_as_it_is() -> None:
    tools: Registry[object] = Registry("tool")
    part = object()
    assert tools.register("part")(part) is part
    assert tools["part"] is part
    assert "part" in tools
    assert "other" not in tools
    assert 3 not in tools
    assert len(tools) == 1


def test_names_come_in_alphabetical_order(tools: Registry[object]) -> None:
    assert list(tools) == ["glue", "hammer", "saw"]


def test_a_line_describes_a_part(tools: Registry[object]) -> None:
    assert tools.describe("saw") == "Cuts wood."
    assert tools.describe("hammer") == "drives nails"
    assert tools.describe("glue") == ""
    with pytest.raises(UserError, match="unknown tool 'sow'; did you mean 'saw'"):
        tools.describe("sow")


def test_an_unknown_name_is_a_sentence_with_the_nearest(tools: Registry[object]) -> None:
    with pytest.raises(UserError) as caught:
        tools["hamer"]
    assert str(caught.value) == "unknown tool 'hamer'; did you mean 'hammer'?"
    with pytest.raises(UserError, match="unknown tool 'xyz'; expected one of: glue, hammer, saw"):
        tools["xyz"]
    with pytest.raises(UserError):
        tools.get("xyz")  # a mistake of the user's is never a silent None


def test_nothing_is_registered_twice(tools: Registry[object]) -> None:
    with pytest.raises(ValueError, match="tool 'saw' is registered twice"):
        tools.register("saw")(object())
    assert tools.describe("saw") == "Cuts wood."


def test_nearest_without_anything_near_or_at_all() -> None:
    assert nearest("a", []) == ""
    assert nearest("reinit", ["reinit-global", "random-mask"]) == "; did you mean 'reinit-global'?"
    assert nearest("q", ["b", "a"]) == "; expected one of: a, b"


def test_a_user_error_is_a_value_error() -> None:
    assert issubclass(UserError, ValueError)  # so that it may be raised while a spec is validated


def test_facts_are_what_is_said_and_else_the_defaults() -> None:
    tools: Registry[object] = Registry("tool", defaults={"sharp": False, "weight": 1})
    tools.register("saw", "cuts", sharp=True)(object())
    tools.register("hammer", "drives nails")(object())
    assert tools.facts("saw") == {"sharp": True, "weight": 1}
    assert tools.facts("hammer") == {"sharp": False, "weight": 1}
    with pytest.raises(UserError, match="unknown tool 'sow'; did you mean 'saw'"):
        tools.facts("sow")
    with pytest.raises(TypeError, match="tool 'axe': nothing is asked about colour"):
        tools.register("axe", colour="red")


def test_members_of_a_family_are_known_by_its_pattern() -> None:
    drills: Registry[str] = Registry("drill")
    drills.register("hand", "by hand")("h")
    drills.register("bit-D-xK", "K bits of D millimetres", example="bit-6-x2")("b")
    drills.register("set-A-B-...", "bits of all these sizes", example="set-4-6")("s")
    drills.register("set-7", "another set altogether")("seven")
    assert drills.match("hand") == ("h", ())
    assert drills.match("bit-12-x3") == ("b", (12, 3))
    assert drills.match("set-1-20-3") == ("s", (1, 20, 3))
    assert drills.match("set-5") == ("s", (5,))
    assert drills.match("set-7") == ("seven", ())
    for name in ("bit-12", "bit-012-x3", "bit-0-x3", "bit-D-xK", "set-", "set-4-", "xset-4", "nothing"):
        assert drills.match(name) is None, name
    assert drills.examples == ["bit-6-x2", "hand", "set-7", "set-4-6"]


HOME = """
from tombola.shed import SHED
SHED.register({name!r}, "a tool")(object())
"""
SHED = """
from tombola.registry import Registry
SHED = Registry("shed tool", "tombola.shed.good", "tombola.shed.bad")
"""


def test_a_registry_whose_home_fails_to_import_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds no half of its parts afterwards, and all of them once the home is mended."""
    import tombola

    monkeypatch.setattr(tombola, "__path__", [*tombola.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "shed"
    folder.mkdir()
    (folder / "__init__.py").write_text(SHED)
    (folder / "good.py").write_text(HOME.format(name="saw"))
    (folder / "bad.py").write_text(HOME.format(name="axe") + "import no_such_library\n")
    shed = importlib.import_module("tombola.shed").SHED

    try:
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError, match="no_such_library"):
                shed["saw"]
        assert list(shed.so_far) == ["saw"]
        (folder / "bad.py").write_text(HOME.format(name="axe"))
        assert list(shed) == ["axe", "saw"]
    finally:
        del registry.OPEN["shed tool"]
        for name in [name for name in sys.modules if name.startswith("tombola.shed")]:
            del sys.modules[name]
