"""Links of the built site are followed; drawings and the files around the package hold together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs_build.links import broken

ROOT = Path(__file__).parents[2]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">good</a><a href="#top">good</a><a href="https://example.org">good</a>'
        '<a href="b.html#gone">bad</a><a href="c.html">bad</a><img src="data:image/png;base64,AA">'
        '<script src="https://example.org/x.js"></script><link rel="canonical" href="https://example.org">'
    )
    (tmp_path / "b.html").write_text('<p id="there">B</p><img src="none.png">')
    assert [*broken(tmp_path)] == [
        "a.html: b.html#gone leads to no anchor",
        "a.html: c.html leads to no file",
        "a.html: https://example.org/x.js is loaded from elsewhere",
        "b.html: none.png leads to no file",
    ]


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    exceptions = pytest.importorskip("mkdocs.exceptions", reason="the extra 'docs' is not installed")
    from docs_build.hooks import on_post_build

    page = tmp_path / "a.html"
    page.write_text('<p id="here">A</p><a href="#here">good</a>')
    on_post_build({"site_dir": str(tmp_path)})
    page.write_text('<a href="b.html">bad</a>')
    with pytest.raises(exceptions.PluginError, match=r"a\.html: b\.html leads to no file"):
        on_post_build({"site_dir": str(tmp_path)})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "drawings").glob("*.svg")), ids=lambda path: path.stem
)
def test_a_drawing_says_what_it_shows_and_has_both_colour_schemes(path: Path) -> None:
    text = path.read_text()
    drawing = ElementTree.fromstring(text)
    assert len(drawing.attrib["aria-label"]) > 80
    assert "prefers-color-scheme:dark" in text
    colours = set(re.findall(r"(?<!-)(?:fill|stroke)[:=]\"?(#\w+)", text))
    assert not colours, "colours are variables, which both schemes set"
    assert "\n\n" not in text, "a blank line ends the HTML that it stands in"


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert re.search(rf"^## {re.escape(version)}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/.-]+\.md\b", (ROOT / "mkdocs.yml").read_text()))
    docs = ROOT / "docs"
    assert {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - listed == set()
    written = {page for page in listed if not page.startswith(("reference/", "gallery.md"))}
    assert [page for page in written if not (docs / page).exists()] == []


def test_the_site_asks_nothing_of_a_network() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert "- offline" in config
    assert "polyfills: [assets/iframe-worker.js]" in config
    assert "http" not in config
