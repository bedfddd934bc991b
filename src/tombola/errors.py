"""The one exception that a user's mistake raises, and the nearest valid name to put in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's: one sentence that says what, where and what was expected.

    The command line prints the sentence without a traceback and exits with code 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the valid names when none is near, to end an error sentence with."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; expected one of: {', '.join(names)}" if names else ""
