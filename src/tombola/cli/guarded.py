"""Standard output and error that show control characters: a title of a study cannot clear the screen or fake a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from tombola.text import visible


class Guarded:
    """A text stream that writes what is visible of a text; all else is the stream's own. What draws on the terminal
    itself, such as a progress bar, writes to `unguarded`."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def write(self, text: str) -> int:
        """Write a text."""
        return self.unguarded.write(visible(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Within it, standard output and error are guarded."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Guarded(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unguarded(stream: TextIO) -> TextIO:
    """The stream below, for one that guards its texts by itself."""
    return stream.unguarded if isinstance(stream, Guarded) else stream
