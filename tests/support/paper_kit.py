"""Material for papers made of the small frames, and what every page of a document must be."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import typst

from support.report_frames import DENSITIES, odd_tables, tables
from tombola.analysis.verdicts.decide import decided
from tombola.analysis.verdicts.matching_level import sparsest_match
from tombola.analysis.verdicts.of_run import Verdicts
from tombola.analysis.verdicts.published import expectations
from tombola.report.paper.document import Document, Grid, Items, Paragraph
from tombola.report.paper.material import Layer, Material
from tombola.report.paper.paper import Charts
from tombola.report.paper.typst import compiled, write_source
from tombola.report.paper.write import drawable
from tombola.report.tables import Tables
from tombola.runs.preregistration import hypotheses_digest
from tombola.study.prospects import prospects
from tombola.study.spec import Study

NASTY = '# *bold* _under_ @frankle $x$ "q" <tag> [b] `c` ~ \\ // /* -- 1. = +'
HYPOTHESIS = {
    "name": "reinit-worse",
    "claim": "Weights drawn afresh @ are *worse*.",
    "quantity": "early_stop_test_accuracy",
    "arms": ["reinit", "ticket"],
    "densities": [0.5, 0.03],
    "direction": "less",
}
PUBLISHED = {
    "quantity": "early_stop_test_accuracy",
    "density": 0.5,
    "value": 0.93,
    "tolerance": 0.01,
    "source": "A # B",
}


def study(**changes: Any) -> Study:
    """Two replicates of three densities with a hypothesis and two published numbers."""
    given: dict[str, Any] = {
        "name": "kit",
        "title": NASTY,
        "replicates": 2,
        "levels": 2,
        "model": {"name": "lenet-12-8"},
        "data": {"name": "digits"},
        "recipe": {"iterations": 2000},
        "pruning": {"rate": 0.5},
        "arms": [{"name": "reinit", "draws": 2}],
        "hypothesis": [HYPOTHESIS],
        "expect": [PUBLISHED, PUBLISHED | {"density": 0.01}],
    }
    return Study.model_validate(given | changes)


def material(found: Tables | None = None, of: Study | None = None, **changes: Any) -> Material:
    """The material of a run that left these tables."""
    spec, found = of or study(), found or tables()
    frame = found.results
    verdicts = Verdicts(
        tuple(decided(spec, frame, DENSITIES, _no_measure)),
        sparsest_match(frame, spec),
        tuple(expectations(frame, spec.expect)),
        ("This run is not finished: never mind.",),
        hypotheses_digest(spec.hypothesis),
    )
    given: dict[str, Any] = {
        "tables": found,
        "verdicts": verdicts,
        "environment": {
            "versions": {"tombola": "9.9"},
            "processor": "A # CPU",
            "record": {"engine": "torch"},
        },
        "layers": (Layer("fc1.weight", (12, 64)), Layer("out.weight", (10, 12))),
        "densities": DENSITIES,
        "prospects": prospects(spec, DENSITIES),
    }
    return Material(spec, "kit-01234567", **given | changes)


def _no_measure(*_: Any) -> Any:
    raise AssertionError("no hypothesis here is on a measure")


@cache
def placeholder() -> bytes:
    """A figure that takes no time."""
    pdf: bytes = typst.compile(
        b"#set page(width: 40pt, height: 30pt, margin: 2pt)\n#rect(width: 100%, height: 100%)"
    )
    return pdf


def typeset(document: Document, folder: Path) -> bytes:
    """The document as PDF, its figures placeholders."""
    blank = placeholder()
    figures = {f"{drawing.name}.pdf": blank for drawing in document.drawings()}
    return compiled(write_source(document, figures, folder))


@cache
def odd(what: str) -> tuple[Material, Charts]:
    """The material of an odd run, and the figures that it can draw."""
    m = material(odd_tables()[what])
    return m, drawable(m)


@cache
def usual() -> tuple[Material, Charts]:
    """The material of the small frames, and its figures."""
    m = material()
    return m, drawable(m)


def text_of(pdf: bytes) -> str:
    """All text, spaces and line ends as one space each."""
    with pypdfium2.PdfDocument(pdf) as document:
        pages = [document[i].get_textpage().get_text_range() for i in range(len(document))]
    return re.sub(r"\s+", " ", " ".join(pages).replace("\u200b", "").replace("\ufffe", "-"))


def inspect(pdf: bytes) -> str:
    """Raise where a page is empty, text leaves its page, or something unprintable was printed; returns the text."""
    with pypdfium2.PdfDocument(pdf) as document:
        for i in range(len(document)):
            page = document[i]
            width, height = page.get_size()
            pixels = page.render(scale=0.4, grayscale=True).to_numpy()
            assert np.count_nonzero(pixels < 200) > 20, f"page {i + 1} is empty"
            words = page.get_textpage()
            for k in range(words.count_rects()):
                left, bottom, right, top = words.get_rect(k)
                inside = left >= 0 and bottom >= 0 and right <= width and top <= height
                assert inside, (
                    f"page {i + 1}: {words.get_text_bounded(left, bottom, right, top)!r} leaves the page"
                )
    text = text_of(pdf)
    assert "\ufffd" not in text
    assert "\x00" not in text
    assert not (found := re.search(r"\b(None|nan|NaN|inf)\b", text)), found
    return text


def words_of(document: Document) -> str:
    """What paragraphs and lists say, references left out."""
    found = []
    for block in document.everything():
        items = (
            [block.words] if isinstance(block, Paragraph) else block.items if isinstance(block, Items) else []
        )
        found += ["".join(part for part in item if isinstance(part, str)) for item in items]
    return " ".join(found)


def grid(document: Document, head: str) -> Grid:
    """The first table whose first column has this head."""
    return next(block for block in document.everything() if isinstance(block, Grid) and block.head[0] == head)
