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
from tombola.report.paper.document import Block, Cite, Document, Drawing, Grid, Listing, References, Slide
from tombola.report.paper.markup import Markup, write_beside

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
    write_bytes(folder / HOUSE, (resources.files("tombola.report") / "templates" / HOUSE).read_bytes())
    write_bytes(folder / WORKS, bibliography().encode())
    return write_beside(source(document), folder / MAIN, figures)


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
        return "\n".join([head, *map(_slide, document.slides)])
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


class _Typst(Markup):
    headings = ("=", "==")
    number = "+"
    stub = "#stub[{}]"
    note = "#note[{}]"
    appendix = "#show: appendix"

    def escaped(self, text: str) -> str:
        return escaped(text)

    def special(self, part: Cite | Grid | Drawing | Listing | References) -> str:
        match part:
            case Cite(key, where):
                return f"@{key}[{escaped(where)}]" if where else f"#cite(<{key}>)"
            case Grid():
                return self.grid(part)
            case Drawing():
                return f"#{'alone' if part.half else 'floating'}({self.drawing(part)})"
            case Listing(text):
                return f"#listing({quoted(text)})"
            case References():
                return f'#bibliography("{WORKS}", style: "ieee")'

    def grid(self, grid: Grid, together: bool = True) -> str:
        columns = list(zip(grid.head, *grid.rows, strict=True))
        wide = [max(map(len, column)) > WIDE for column in columns]
        widths = ", ".join("1fr" if each else "auto" for each in wide)
        align = ", ".join("left" if i < grid.left or wide[i] else "right" for i in range(len(columns)))
        head = ", ".join(f"[*{escaped(cell)}*]" for cell in grid.head)
        caption = f", caption: [{self.words(grid.caption)}]" if grid.caption else ""
        rows = "".join("  " + ", ".join(f"[{escaped(cell)}]" for cell in row) + ",\n" for row in grid.rows)
        kind = "together" if together and len(grid.rows) <= SHORT else "whole"
        return (
            f"#{kind}(figure(grid-of(({widths},), ({align},),\n"
            f"  table.hline(), table.header({head}), table.hline(stroke: 0.3pt),\n{rows}  table.hline(),\n"
            f"){caption}))"
        )

    def drawing(self, drawing: Drawing) -> str:
        return f"drawing({_file(drawing)}, [{self.words(drawing.caption)}], {quoted(drawing.alt)})"


TYPST = _Typst()


def _file(drawing: Drawing) -> str:
    return quoted(f"figures/{drawing.name}.pdf")


def _blocks(blocks: Sequence[Block]) -> list[str]:
    """The blocks, two half figures in a row beside each other."""
    found, rest = list[str](), list(blocks)
    while rest:
        match rest:
            case [Drawing(half=True) as left, Drawing(half=True) as right, *rest]:
                found.append(f"#beside({TYPST.drawing(left)}, {TYPST.drawing(right)})\n")
            case [block, *rest]:
                found.append(TYPST.block(block) + "\n")
    return found


def _slide(slide: Slide) -> str:
    inside = "\n".join(map(_on_slide, slide.blocks))
    return f"#slide[{escaped(slide.message)}][\n{inside}\n]\n"


def _on_slide(block: Block) -> str:
    """A block of a slide: figures as large as fits, and tables that may be broken."""
    if isinstance(block, Drawing):
        return f"#big({_file(block)}, {quoted(block.alt)})"
    return (TYPST.grid(block, together=False) if isinstance(block, Grid) else TYPST.block(block)) + "\n"
