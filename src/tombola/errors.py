"""What is said to a user: a mistake ends the work, a notice stands beside it; both are one sentence."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's: one sentence that says what, where and what was expected.

    The command line prints the sentence without a traceback and exits with code 2.
    """


class Notice(UserWarning):
    """Something that a user should know and that stops nothing: the command line prints it as `note: ...`."""


def notice(sentence: str) -> None:
    """Say a sentence beside the work: a `Notice`, which Python's warning filters can silence or make an error."""
    warnings.warn(sentence, Notice, stacklevel=3)


def brief(problem: BaseException) -> str:
    """The kind and the first line of an exception, so that a sentence stays one."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"


LONGEST = 200
"""Characters of a name that others are held against."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the valid names when none is near, to end an error sentence with."""
    names = sorted(valid)
    close = difflib.get_close_matches(name[:LONGEST], names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; expected one of: {', '.join(names)}" if names else ""
