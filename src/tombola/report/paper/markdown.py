"""Documents as Markdown, with figure files beside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tombola.files import write_bytes
from tombola.report.paper.bibliography import listed_works
from tombola.report.paper.document import (
    Appendix,
    Block,
    Cite,
    Document,
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


def write_markdown(document: Document, figures: Mapping[str, bytes], path: Path) -> Path:
    """Write the document, and its figures (file name -> bytes) in `figures/` beside it; returns the path."""
    for name, data in figures.items():
        write_bytes(path.parent / "figures" / name, data)
    write_bytes(path, markdown(document).encode())
    return path


def markdown(document: Document) -> str:
    """The document in GitHub's Markdown, works numbered in the order of their first mention."""
    works = document.works()
    parts = [f"# {escaped(document.title)}", f"{escaped(document.line)}, {escaped(document.date)}"]
    counts = {"Table": 0, "Figure": 0}
    for block in document.blocks:
        if isinstance(block, Grid | Drawing):
            counts["Table" if isinstance(block, Grid) else "Figure"] += 1
        parts.append(_block(block, works, counts))
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    text = re.sub(r"([\\`*_\[\]<>#|$~])", r"\\\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"^([-+=])(?=\s|$)", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)


def _words(words: Words, works: Sequence[str]) -> str:
    return "".join(_reference(part, works) if isinstance(part, Cite) else escaped(part) for part in words)


def _reference(cite: Cite, works: Sequence[str]) -> str:
    where = f", {escaped(cite.where)}" if cite.where else ""
    return f"\\[{works.index(cite.key) + 1}{where}\\]"


def _block(block: Block, works: Sequence[str], counts: Mapping[str, int]) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * (level + 1)} {escaped(text)}"
        case Paragraph(words):
            return _words(words, works)
        case Items(items, numbered):
            marks = (f"{i}." if numbered else "-" for i in range(1, len(items) + 1))
            return "\n".join(f"{mark} {_words(item, works)}" for mark, item in zip(marks, items, strict=True))
        case Grid(head, rows, caption, left):
            rule = [":---" if i < left else "---:" for i in range(len(head))]
            table = [[escaped(cell) for cell in row] for row in (head, *rows)]
            lines = [f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:])]
            return f"*Table {counts['Table']}:* {_words(caption, works)}\n\n" + "\n".join(lines)
        case Drawing(name, caption, alt):
            said = f"*Figure {counts['Figure']}:* {_words(caption, works)}"
            return f"![{escaped(alt)}](figures/{name}.svg)\n\n{said}"
        case Stub(what):
            return f"> **To be written:** {escaped(what)}"
        case Note(text):
            return f"> {escaped(text)}"
        case Listing(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}\n{text.rstrip()}\n{fence}"
        case Appendix():
            return "---"
        case References():
            found = [f"{i}. {escaped(str(work))}" for i, work in enumerate(listed_works(works), 1)]
            return "## Bibliography\n\n" + "\n".join(found) if found else ""
