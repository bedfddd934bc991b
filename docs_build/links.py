"""Links of a built site: each leads to a file and an anchor that are there; nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
"""Attributes that a browser follows by itself."""
NOT_LOADED = {"canonical", "next", "prev", "alternate"}
"""What `link` elements may say without anything being loaded."""


class Reader(HTMLParser):
    """The links of a page, whether a browser loads each by itself, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, bool]] = []
        self.anchors: set[str] = {"", "__top"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what an element links to and what it is called."""
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        for key in ("href", "src"):
            if (value := found.get(key)) is not None:
                loaded = (tag, key) in LOADED and not {*(found.get("rel") or "").split()} & NOT_LOADED
                self.links.append((value, loaded))


def broken(site: Path) -> Iterator[str]:
    """A sentence for every link that leads nowhere, and for everything that is loaded from elsewhere."""
    pages = {path.resolve(): read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of a server
            continue
        for link, loaded in page.links:
            if why := wrong(path, link, loaded, pages):
                yield f"{path.relative_to(site.resolve())}: {link} {why}"


def read(path: Path) -> Reader:
    """A page's links and anchors."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def wrong(path: Path, link: str, loaded: bool, pages: dict[Path, Reader]) -> str:
    """What is wrong with a link of a page; empty where nothing is."""
    parts = urlsplit(link)
    if parts.scheme in ("data", "mailto", "javascript"):
        return ""
    if parts.scheme or parts.netloc:
        return "is loaded from elsewhere" if loaded else ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "leads to no file"
    if target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "leads to no anchor"
    return ""
