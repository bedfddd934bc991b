"""Documents as typst source, in a folder that compiles by itself, and as PDF."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import typst

from tombola.files import write_bytes
from tombola.report.paper.bibliography import FILE as WORKS
from tombola.report.paper.bibliography import bibliography
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
    Slide,
    Stub,
    Words,
)

MAIN, HOUSE = "main.typ", "house.typ"
LONGEST = 24
"""Letters of a word that is still not broken."""
SHORT = 20
"""Rows of a table that still stays on one page."""
WIDE = 34
"""Letters of a cell from which on its column shares the width that is left."""


def write_source(document: Document, figures: Mapping[str, bytes], folder: Path) -> Path:
    """Write the source with all it needs: the house style, the bibliography, and the figures (file name -> bytes).

    Returns the path of the file to compile.
    """
    for name, data in figures.items():
        write_bytes(folder / "figures" / name, data)
    write_bytes(folder / HOUSE, (resources.files("tombola.report") / "templates" / HOUSE).read_bytes())
    write_bytes(folder / WORKS, bibliography().encode())
    write_bytes(folder / MAIN, source(document).encode())
    return folder / MAIN


def compiled(main: Path) -> bytes:
    """The PDF of a source, from the files of its folder and typst's own fonts alone: equal sources, equal bits."""
    pdf: bytes = typst.compile(
        main,
        root=main.parent,
        ignore_system_fonts=True,
        timestamp=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
    )
    return pdf


def source(document: Document) -> str:
    """The document in typst's markup: readable, and made to be written on in."""
    style = "talk" if document.slides else "paper"
    head = (
        f'#import "{HOUSE}": *\n'
        f"#show: {style}.with(title: [{escaped(document.title)}], line: [{escaped(document.line)}], "
        f"date: [{escaped(document.date)}])\n"
    )
    if document.slides:
        works = [Slide("Bibliography", (References(),))] * bool(document.works())
        return "\n".join([head, *map(_slide, [*document.slides, *works])])
    return "\n".join([head, *_blocks(document.blocks)])


def escaped(text: str) -> str:
    """Text as markup that reads as the text, whatever is in it; long words may be broken after a joint."""
    text = re.sub(r"\s+", " ", re.sub(r"[^\x20-\x7e\u00a0-\uffff\U00010000-\U0010ffff]", " ", text))
    text = " ".join(
        re.sub(r"(?<=[._:/\-])(?=\w)", "\u200b", word) if len(word) > LONGEST else word
        for word in text.split(" ")
    )
    # Before a number and between names it is a minus.
    text = re.sub(r"(?<![\w.:/])-(?=[\d.])|(?<= )-(?= )", "−", text)
    text = re.sub(r"[\\#*_@$<>\[\]~`/=+]", lambda found: "\\" + found[0], text)
    text = re.sub(r"(?<!\w)-|-(?=[-?])", r"\\-", text)
    return re.sub(r"^(\d+)\.(?=\s|$)", r"\1\\.", text)


def quoted(text: str) -> str:
    """Text as a string of typst's code."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(words: Words) -> str:
    return "".join(_reference(part) if isinstance(part, Cite) else escaped(part) for part in words)


def _reference(cite: Cite) -> str:
    return f"@{cite.key}[{escaped(cite.where)}]" if cite.where else f"#cite(<{cite.key}>)"


def _blocks(blocks: Sequence[Block]) -> list[str]:
    """The blocks, two half figures in a row beside each other."""
    found, rest = list[str](), list(blocks)
    while rest:
        block = rest.pop(0)
        if (
            isinstance(block, Drawing)
            and block.half
            and rest
            and isinstance(rest[0], Drawing)
            and rest[0].half
        ):
            other = rest.pop(0)
            assert isinstance(other, Drawing)
            found.append(f"#beside({_drawing(block)}, {_drawing(other)})\n")
        else:
            found.append(_block(block))
    return found


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'=' * level} {escaped(text)}\n"
        case Paragraph(words):
            return f"{_words(words)}\n"
        case Items(items, numbered):
            return "\n".join(f"{'+' if numbered else '-'} {_words(item)}" for item in items) + "\n"
        case Grid():
            return _grid(block)
        case Drawing():
            return f"#{'alone' if block.half else 'whole'}({_drawing(block)})\n"
        case Stub(what):
            return f"#stub[{escaped(what)}]\n"
        case Note(text):
            return f"#note[{escaped(text)}]\n"
        case Listing(text):
            return f"#listing({quoted(text)})\n"
        case Appendix():
            return "#show: appendix\n"
        case References():
            return f'#bibliography("{WORKS}", style: "ieee")\n'


def _drawing(block: Drawing) -> str:
    file = quoted(f"figures/{block.name}.pdf")
    return f"drawing({file}, [{_words(block.caption)}], {quoted(block.alt)})"


def _grid(block: Grid, together: bool = True) -> str:
    columns = list(zip(block.head, *block.rows, strict=True))
    wide = [max(map(len, column)) > WIDE for column in columns]
    widths = ", ".join("1fr" if each else "auto" for each in wide)
    align = ", ".join("left" if i < block.left or wide[i] else "right" for i in range(len(columns)))
    head = ", ".join(f"[*{escaped(cell)}*]" for cell in block.head)
    caption = f", caption: [{_words(block.caption)}]" if block.caption else ""
    rows = "".join("  " + ", ".join(f"[{escaped(cell)}]" for cell in row) + ",\n" for row in block.rows)
    return (
        f"#{'together' if together and len(block.rows) <= SHORT else 'whole'}(figure(grid-of(({widths},), ({align},),\n"
        f"  table.hline(), table.header({head}), table.hline(stroke: 0.3pt),\n{rows}  table.hline(),\n"
        f"){caption}))\n"
    )


def _slide(slide: Slide) -> str:
    inside = "\n".join(
        f"#big({quoted(f'figures/{block.name}.pdf')}, {quoted(block.alt)})"
        if isinstance(block, Drawing)
        else _grid(block, together=False)
        if isinstance(block, Grid)
        else _block(block)
        for block in slide.blocks
    )
    return f"#slide[{escaped(slide.message)}][\n{inside}\n]\n"
