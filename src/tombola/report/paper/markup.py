"""The one walk over the blocks of a document; what each becomes in a kind of markup is said by a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tombola.files import write_bytes
from tombola.report.paper.document import (
    Appendix,
    Block,
    Cite,
    Drawing,
    Grid,
    Heading,
    Items,
    Listing,
    Note,
    Paragraph,
    References,
    Stub,
    Words,
)


class Markup(ABC):
    """A kind of markup: the texts below go round escaped words, the methods write what takes more."""

    headings: ClassVar[tuple[str, str]]
    number: ClassVar[str]
    stub: ClassVar[str]
    note: ClassVar[str]
    small: ClassVar[str]
    appendix: ClassVar[str]

    @abstractmethod
    def escaped(self, text: str) -> str:
        """Text that reads as it is, whatever is in it."""

    @abstractmethod
    def special(self, part: Cite | Grid | Drawing | Listing | References) -> str:
        """What each kind of markup writes in a way of its own."""

    def words(self, words: Words) -> str:
        """Running text with its references."""
        return "".join(self.special(part) if isinstance(part, Cite) else self.escaped(part) for part in words)

    def block(self, block: Block) -> str:
        """A block, without a line break at its end."""
        match block:
            case Heading(text, level):
                return f"{self.headings[level - 1]} {self.escaped(text)}"
            case Paragraph(words):
                return self.words(words)
            case Items(small=True):
                return self.small.format(self.block(replace(block, small=False)))
            case Items(items, numbered):
                marks = [self.number.format(i) if numbered else "-" for i in range(1, len(items) + 1)]
                return "\n".join(
                    f"{mark} {self.words(item)}" for mark, item in zip(marks, items, strict=True)
                )
            case Stub(what):
                return self.stub.format(self.escaped(what))
            case Note(text):
                return self.note.format(self.escaped(text))
            case Appendix():
                return self.appendix
            case _:
                return self.special(block)


def write_beside(text: str, path: Path, figures: Mapping[str, bytes]) -> Path:
    """Write a document, and its figures (file name -> bytes) in `figures/` beside it; returns the path."""
    for name, data in figures.items():
        write_bytes(path.parent / "figures" / name, data)
    write_bytes(path, text.encode())
    return path
