"""The documentation, built by `make docs`, in a real browser: opened from disk, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chromium import CHROMIUM, Chromium

SITE = Path(__file__).parents[2] / "build" / "site"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM FOUND: the site was not seen by a browser"),
    pytest.mark.skipif(not SITE.exists(), reason="the site is not built: make docs"),
]
PAGES = (
    "index.html",
    "start.html",
    "tutorials/founding-paper.html",
    "concepts/nulls.html",
    "gallery.html",
    "reference/study-file.html",
    "reference/measures.html",
    "reference/python.html",
    "papers/frankle-carbin-2019.html",
    "findings.html",
    "compared.html",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_whole_and_no_wider_than_the_screen(chromium: Chromium, page: str, width: int) -> None:
    chromium.open(SITE / page, width)
    broken = (
        "[...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"
    )
    assert chromium.see(broken) == []
    assert chromium.see("document.documentElement.scrollWidth") <= width
    assert chromium.complaints == []


@pytest.mark.parametrize(("words", "found"), [("sign agreement", "measures"), ("nesterov", "study-file")])
def test_search_finds_from_disk(chromium: Chromium, words: str, found: str) -> None:
    chromium.open(SITE / "index.html", 1200)
    field = "document.querySelector('[data-md-component=search-query]')"
    chromium.see(f"{field}.focus(), {field}.value = '{words}', {field}.dispatchEvent(new Event('keyup')), 0")
    chromium.see(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}})), 0")
    chromium.wait(f"document.querySelector('.md-search-result__link[href*=\"{found}\"]')")
    assert chromium.complaints == []


@pytest.mark.parametrize(("scheme", "ink"), [("light", "#222"), ("dark", "#e6e6e6")])
def test_drawings_have_the_colours_of_the_scheme(chromium: Chromium, scheme: str, ink: str) -> None:
    wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.call("Emulation.setEmulatedMedia", features=wanted)
    chromium.open(SITE / "index.html", 1200)
    drawing = "document.querySelector('.tombola-drawing')"
    assert chromium.see(f"getComputedStyle({drawing}).getPropertyValue('--ink').trim()") == ink
    assert chromium.see(f"{drawing}.getBoundingClientRect().height") > 100
