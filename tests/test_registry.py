"""Registries: parts by name, nearest names in errors, nothing registered twice."""

from __future__ import annotations

import pytest

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
