from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
import typst
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.paper_kit import NASTY, inspect, placeholder, text_of, typeset, usual
from tombola.report.paper.document import (
    Cite,
    Document,
    Drawing,
    Grid,
    Heading,
    Items,
    Listing,
    Paragraph,
    References,
)
from tombola.report.paper.markdown import escaped as in_markdown
from tombola.report.paper.markdown import markdown
from tombola.report.paper.paper import paper
from tombola.report.paper.slides import slides
from tombola.report.paper.typst import escaped, source, write_source

MARKUP = st.text(st.sampled_from("ab1 -.#*_@$<>[]{}()`~\\/=+?'\"&|%^:;,!é−"), min_size=1, max_size=40)


def shown(markup: str) -> str:
    """What typst prints of a line of markup, without spaces."""
    head = "#set page(width: 2000pt, height: 60pt)\n#set text(hyphenate: false)\n#set smartquote(enabled: false)\nX"
    return "".join(text_of(typst.compile(f"{head}{markup}X".encode(), ignore_system_fonts=True)).split())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(MARKUP)
def test_any_text_reads_as_itself(text: str) -> None:
    expected = "".join(f"X{text}X".split()).replace("...", "…")
    assert shown(escaped(text)).replace("−", "-").replace("...", "…") == expected.replace("−", "-")


@pytest.mark.parametrize(
    "text", ["- item", "+ item", "/ term: x", "= head", "12. item", "a -- b", "a --- b", "x-?y"]
)
def test_a_paragraph_never_becomes_something_else(text: str) -> None:
    pdf = typst.compile(f"#set page(width: 400pt)\n{escaped(text)}".encode(), ignore_system_fonts=True)
    assert text_of(pdf).strip().replace("−", "-") == text
    for kind in ("enum", "list", "terms", "heading"):
        assert typst.query(escaped(text).encode(), kind, ignore_system_fonts=True) == "[]"


def test_long_names_are_broken_after_joints() -> None:
    long = "package.subpackage.module:factory_" * 6
    pdf = typst.compile(f"#set page(width: 200pt)\n{escaped(long)}".encode(), ignore_system_fonts=True)
    assert inspect(pdf).replace(" ", "").strip() == long


def test_control_characters_are_dropped(tmp_path: Path) -> None:
    assert escaped("a\x00b\x07c\td\ne") == "a b c d e"


def test_equal_documents_have_equal_bits(tmp_path: Path) -> None:
    m, _ = usual()
    for i, compose in enumerate((paper, slides)):
        once, again = (typeset(compose(m, {}, "2026-01-02"), tmp_path / f"{i}{name}") for name in "ab")
        assert once == again


def test_the_source_compiles_by_itself(tmp_path: Path) -> None:
    document = paper(*usual(), "2026-01-02")
    main = write_source(
        document, {f"{each.name}.pdf": placeholder() for each in document.drawings()}, tmp_path / "a"
    )
    elsewhere = (tmp_path / "a").rename(tmp_path / "b")
    inspect(typst.compile(elsewhere / main.name, ignore_system_fonts=True))
    assert "http" not in (elsewhere / "house.typ").read_text()
    assert "@preview" not in (elsewhere / "house.typ").read_text() + (elsewhere / main.name).read_text()


def test_slides_are_wide(tmp_path: Path) -> None:
    with pypdfium2.PdfDocument(typeset(slides(*usual(), ""), tmp_path)) as document:
        sizes = {tuple(round(side, 1) for side in document[i].get_size()) for i in range(len(document))}
    [(width, height)] = sizes
    assert width / height == pytest.approx(16 / 9, abs=0.001)


def test_each_slide_is_one_page(tmp_path: Path) -> None:
    talk = slides(*usual(), "")
    with pypdfium2.PdfDocument(typeset(talk, tmp_path)) as document:
        # The title and the slides, of which the last has the works that they cite.
        assert len(document) == len(talk.slides) + 1
    assert isinstance(talk.slides[-1].blocks[-1], References)


def test_half_figures_stand_beside_each_other(tmp_path: Path) -> None:
    halves = [Drawing(name, (name,), name, half=True) for name in ("one", "two", "three")]
    text = source(Document("t", "", "", (*halves, Drawing("four", ("four",), "four"))))
    assert text.count("#beside(") == 1
    assert text.count("#alone(") == 1
    assert text.count("#floating(") == 1


def test_markdown_numbers_and_lists_works() -> None:
    blocks = (
        Heading("A * b"),
        Paragraph(("one ", Cite("zhou2019deconstructing", "Section 2"), " two ", Cite("frankle2019lottery"))),
        Items((("x",), (Cite("zhou2019deconstructing"),)), numbered=True),
        Grid(("a|b", "n"), (("x|y", "1"),), ("caption",), left=1),
        Drawing("gap", ("The gap.",), "alt [text]"),
        Listing("a ``` b"),
        References(),
    )
    assert markdown(Document("T", "by", "2026-01-02", blocks)) == (
        "# T\n\nby, 2026-01-02\n\n## A \\* b\n\none \\[1, Section 2\\] two \\[2\\]\n\n1. x\n2. \\[1\\]\n\n"
        "*Table 1:* caption\n\n| a\\|b | n |\n| :--- | ---: |\n| x\\|y | 1 |\n\n"
        "![alt \\[text\\]](figures/gap.svg)\n\n*Figure 1:* The gap.\n\n````\na ``` b\n````\n\n"
        "## Bibliography\n\n"
        "1. Zhou, Lan, Liu and Yosinski, “Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask”, Advances "
        "in Neural Information Processing Systems, arXiv:1905.01067, 2019.\n"
        "2. J. Frankle and M. Carbin, “The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks”, "
        "International Conference on Learning Representations, arXiv:1803.03635, 2019.\n"
    )


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("- x", "\\- x"),
        ("-5", "-5"),
        ("3. x", "3\\. x"),
        ("a_b*c", "a\\_b\\*c"),
        ("<b>", "&lt;b&gt;"),
        ("&lt;", "&amp;lt;"),
        ("\x1b", "\\\\x1b"),
    ],
)
def test_markdown_leaves_text_as_it_is(text: str, plain: str) -> None:
    assert in_markdown(text) == plain


def test_markdown_has_all_that_the_paper_has() -> None:
    document = paper(*usual(), "2026-01-02")
    text = markdown(document)
    for heading in (block for block in document.blocks if isinstance(block, Heading)):
        assert f"# {in_markdown(heading.text)}\n" in text
    assert text.count("![") == len(document.drawings())
    assert text.count("**To be written:**") == 5
    assert in_markdown(NASTY) in text
