"""Documents as typst source, in a folder that compiles by itself, and as PDF."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import accumulate, pairwise
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
PHRASE = 16
"""Letters of the longest cell from which on a column of words shares the width with wider ones."""
LINES = 500
"""Letters of a row that is a few lines high."""
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
    small = "#small[\n{}\n]"
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
        words = [any(wide) and _phrases(column) for column in columns]
        widths = ", ".join(
            "1fr" if w else "0.36fr" if phrase else "auto" for w, phrase in zip(wide, words, strict=True)
        )
        align = ", ".join("left" if i < grid.left or wide[i] else "right" for i in range(len(columns)))
        head = ", ".join(f"[*{escaped(cell)}*]" for cell in grid.head)
        caption = f", caption: [{self.words(grid.caption)}]" if grid.caption else ""
        long = len(grid.rows) > SHORT
        kind = "together" if together and not long and not grid.stays else "whole"
        return (
            f"#{kind}(figure(grid-of(({widths},), ({align},), long: {str(long).lower()},\n"
            f"  table.hline(), table.header([], {head}), table.hline(stroke: 0.3pt),\n"
            f"{self.rows(grid, together)}  table.hline(),\n"
            f"){caption}))"
        )

    def rows(self, grid: Grid, together: bool) -> str:
        """The rows, a line each; the first column, which is not seen, holds together those between which no page ends,
        and a first cell goes down as far as those below it are empty. Long rows, and those of slides, may be broken."""
        same = dict(_ends(_groups(grid.rows), least=1))
        short = together and all(len("".join(row)) < LINES for row in grid.rows)
        held = dict(_ends(_groups(grid.rows))) if short else dict.fromkeys(range(len(grid.rows)), 1)
        lines = []
        for i, (first, *others) in enumerate(grid.rows):
            cells = [f"held({held[i]})" if held[i] > 1 else "[]"] if i in held else []
            cells += [f"down({same[i]})[{escaped(first)}]"] if i in same else []
            lines.append("  " + ", ".join([*cells, *(f"[{escaped(cell)}]" for cell in others)]) + ",\n")
        return "".join(lines)

    def drawing(self, drawing: Drawing) -> str:
        return f"drawing({_file(drawing)}, [{self.words(drawing.caption)}], {quoted(drawing.alt)})"


TYPST = _Typst()


def _phrases(column: Sequence[str]) -> bool:
    """Whether the cells of a column are words, some of them several, which may stand below each other."""
    return max(map(len, column)) > PHRASE and not any(re.search(r"\d", cell) for cell in column)


def _groups(rows: Sequence[tuple[str, ...]]) -> list[int]:
    """How many rows are of the same, in order: one that begins with words, and those below it that do not."""
    starts = [i for i, row in enumerate(rows) if i == 0 or row[0]]
    return [end - start for start, end in pairwise([*starts, len(rows)])]


def _ends(groups: list[int], least: int = 3) -> Iterator[tuple[int, int]]:
    """First row -> length of each group, the first and the last made of at least so many rows: no page ends a row after
    a table has begun, or a row before it is done."""
    groups = list(groups)
    while len(groups) > 1 and groups[0] < least:
        groups[:2] = [sum(groups[:2])]
    while len(groups) > 1 and groups[-1] < least:
        groups[-2:] = [sum(groups[-2:])]
    yield from zip(accumulate([0, *groups[:-1]]), groups, strict=True)


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
