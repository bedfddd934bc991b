from __future__ import annotations

import warnings

import pytest

from tombola.cli.app import _show
from tombola.errors import Notice, nearest, notice


def test_a_notice_is_a_warning_that_points_to_who_called() -> None:
    with pytest.warns(Notice, match="two things to know") as caught:
        notice("two things to know")
    assert issubclass(Notice, UserWarning)
    assert len(caught) == 1


def test_the_command_line_says_a_notice_without_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show  # put back by the context
        warnings.warn("one sentence", Notice, stacklevel=1)
        warnings.warn("of somebody else's", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: one sentence\nwarning: of somebody else's\n"


def test_the_nearest_name_ends_a_sentence() -> None:
    assert nearest("randm", ["random", "reinit"]) == "; did you mean 'random'?"
    assert nearest("zzz", ["random", "reinit"]) == "; expected one of: random, reinit"
    assert nearest("zzz", []) == ""
