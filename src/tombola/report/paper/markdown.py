"""Documents in GitHub's Markdown."""

from __future__ import annotations

import re

from tombola.report.paper.bibliography import listed_works
from tombola.report.paper.document import Cite, Document, Drawing, Grid, Listing, References
from tombola.report.paper.markup import Markup
from tombola.text import visible


def markdown(document: Document) -> str:
    """The document in Markdown, works numbered in the order of their first mention."""
    markup = _Markdown(document)
    parts = [f"# {escaped(document.title)}", f"{escaped(document.line)}, {escaped(document.date)}"]
    parts += map(markup.block, document.blocks)
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    # Not every reader of Markdown knows \\< for a sign that begins no HTML; all know its name.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]#|$~])", r"\\\1", re.sub(r"\s+", " ", visible(text)))
    text = re.sub(r"^([-+=])(?=\s|$)", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)


class _Markdown(Markup):
    """Counts tables and figures as they are written."""

    headings = ("##", "###")
    number = "{}."
    stub = "> **To be written:** {}"
    note = "> {}"
    small = "{}"
    appendix = "---"

    def __init__(self, document: Document) -> None:
        self._works = document.works()
        self._tables = self._figures = 0

    def escaped(self, text: str) -> str:
        return escaped(text)

    def special(self, part: Cite | Grid | Drawing | Listing | References) -> str:
        match part:
            case Cite(key, where):
                return f"\\[{self._works.index(key) + 1}{f', {escaped(where)}' if where else ''}\\]"
            case Grid(head, rows, caption, left, _):
                self._tables += 1
                rule = [":---" if i < left else "---:" for i in range(len(head))]
                top, *table = [[escaped(cell) for cell in row] for row in (head, *rows)]
                lines = [f"| {' | '.join(row)} |" for row in (top, rule, *table)]
                return f"*Table {self._tables}:* {self.words(caption)}\n\n" + "\n".join(lines)
            case Drawing(name, caption, alt):
                self._figures += 1
                picture = f"![{escaped(alt)}](figures/{name}.svg)"
                return f"{picture}\n\n*Figure {self._figures}:* {self.words(caption)}"
            case Listing(text):
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
                return f"{fence}\n{text.rstrip()}\n{fence}"
            case References():
                works = [f"{i}. {escaped(str(work))}" for i, work in enumerate(listed_works(self._works), 1)]
                return "## Bibliography\n\n" + "\n".join(works) if works else ""
