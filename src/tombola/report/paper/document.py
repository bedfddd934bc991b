"""What a paper, a proposal or a talk is made of, before it is set: plain blocks, without any markup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Cite:
    """A reference to a work of the bibliography, by key, and where in it."""

    key: str
    where: str = ""


Words: TypeAlias = tuple[str | Cite, ...]
"""Running text: pieces as they are to be read, and references between them."""


@dataclass(frozen=True)
class Heading:
    """The title of a section (1) or a part of it (2)."""

    text: str
    level: Literal[1, 2] = 1


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    words: Words


@dataclass(frozen=True)
class Items:
    """A list, numbered where the order matters; a long one of short items is set `small`."""

    items: tuple[Words, ...]
    numbered: bool = False
    small: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: its first `left` columns hold words, the others numbers. A row whose first cell is empty is of the same
    as the row above it. One that `stays` is among others, whose order matters, and is not moved to where a page has
    room for it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: Words
    left: int = 1
    stays: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure of FIGURES by name, as a file in `figures/`; half ones stand beside each other."""

    name: str
    caption: Words
    alt: str
    half: bool = False


@dataclass(frozen=True)
class Stub:
    """What only a person can say: printed in a box that cannot be overlooked."""

    what: str


@dataclass(frozen=True)
class Note:
    """What a reader must know first, printed in a box."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Text of a program or a file, set as it is."""

    text: str


@dataclass(frozen=True)
class References:
    """The place of the bibliography."""


@dataclass(frozen=True)
class Appendix:
    """From here on headings are of the appendix."""


Block: TypeAlias = (
    Heading | Paragraph | Items | Grid | Drawing | Stub | Note | Listing | References | Appendix
)


@dataclass(frozen=True)
class Slide:
    """One message, and what shows it."""

    message: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A text to be set: a paper or proposal of `blocks`, or a talk of `slides`. `line` stands below the title."""

    title: str
    line: str
    date: str
    blocks: tuple[Block, ...] = ()
    slides: tuple[Slide, ...] = ()

    def everything(self) -> tuple[Block, ...]:
        """The blocks of the document and of its slides, in order."""
        return self.blocks + tuple(block for slide in self.slides for block in slide.blocks)

    def drawings(self) -> tuple[Drawing, ...]:
        """Its figures, in order."""
        return tuple(block for block in self.everything() if isinstance(block, Drawing))

    def works(self) -> tuple[str, ...]:
        """The keys of the works that it refers to, in the order of their first mention."""
        return tuple(dict.fromkeys(cite.key for block in self.everything() for cite in _cites(block)))


def paragraph(*parts: str | Cite) -> Paragraph:
    """A paragraph of pieces."""
    return Paragraph(parts)


def bullets(texts: Iterable[str]) -> Items:
    """A list of texts without references."""
    return Items(tuple((text,) for text in texts))


def _cites(block: Block) -> list[Cite]:
    if isinstance(block, Paragraph):
        words = block.words
    elif isinstance(block, Items):
        words = tuple(part for item in block.items for part in item)
    elif isinstance(block, Grid | Drawing):
        words = block.caption
    else:
        words = ()
    return [part for part in words if isinstance(part, Cite)]
