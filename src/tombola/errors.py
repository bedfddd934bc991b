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


def require_type(given: object, kind: type, what: str, how: str = "") -> None:
    """Raise UserError where `what` is handed in from Python and is of another type; `how` says how to come by one."""
    if not isinstance(given, kind):
        found = type(given).__name__
        article = "an" if found[:1].lower() in "aeiou" else "a"
        raise UserError(
            f"{what} is {article} {found}, expected a tombola.{kind.__name__}{f' ({how})' if how else ''}"
        )


def require_seed(seed: object) -> None:
    """Raise UserError for a seed that is no whole number from 0 on."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed is {seed!r}, expected a whole number, 0 or more")


def notice(sentence: str) -> None:
    """Say a sentence beside the work: a `Notice`, which Python's warning filters can silence or make an error."""
    warnings.warn(sentence, Notice, stacklevel=3)


def brief(problem: BaseException) -> str:
    """The kind and the first line of an exception, so that a sentence stays one."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"


LONGEST = 200
"""Characters of a name that others are held against."""


def closest(name: str, valid: Iterable[str], least: float = 0.5) -> str | None:
    """The name that is most like another one, by a share of at least so much; None where none is."""
    return next(iter(difflib.get_close_matches(name[:LONGEST], list(valid), n=1, cutoff=least)), None)


def nearest(name: str, valid: Iterable[str], table: str = "") -> str:
    """`; did you mean 'x'?`, or the valid names when none is near, to end an error sentence with; of keys of a `table`
    the one that is meant with the table before it, as it has to be typed."""
    names = sorted(valid)
    if close := closest(name, names):
        return f"; did you mean '{f'{table}.' if table else ''}{close}'?"
    return f"; expected one of: {', '.join(names)}" if names else ""
