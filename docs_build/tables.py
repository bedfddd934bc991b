"""Markdown that all generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells may hold Markdown, and bars and line ends in them are kept from ending the cell."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(each) for each in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    pieces = re.split(r"(`[^`]*`)", re.sub(r"\s*\n\s*", " ", str(value)))  # a bar within code ends no cell
    return "".join(each if each.startswith("`") else each.replace("|", "\\|") for each in pieces)


def code(text: object) -> str:
    """Text as code, or nothing."""
    return f"`{text}`" if f"{text}" else ""


def sentence(text: str) -> str:
    """With a capital at its start and a full stop at its end."""
    text = text.strip()
    return text and text[:1].upper() + text[1:] + ("" if text[-1] in ".:?!" else ".")


def prose(text: str) -> str:
    """A docstring as Markdown: where it means a shape or an index, square brackets make no link."""
    return re.sub(r"(?<!`)\[([^\]\n]*)\](?![`(])", r"\\[\1\\]", text)


def anchor(name: str) -> str:
    """The anchor of a part: its name, without what an anchor cannot have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.").lower()


SOURCE = re.compile(r"\(([^()]*\b(?:19|20)\d\d[^()]*)\)")


def source(line: str) -> str:
    """The works that a line names in brackets; empty where it names none."""
    return "; ".join(SOURCE.findall(line))
