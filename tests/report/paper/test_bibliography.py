from __future__ import annotations

import re
from pathlib import Path

import pytest
import typst

from support.paper_kit import text_of
from tombola.lottery.arms.catalog import ARMS
from tombola.masks.criteria import CRITERIA
from tombola.report.paper.bibliography import BACKGROUND, FILE, bibliography, listed_works, referring, works
from tombola.report.paper.document import Cite


def test_every_entry_was_read() -> None:
    keys = re.findall(r"^@\w+\{(\w+),$", bibliography(), re.MULTILINE)
    assert list(works()) == keys
    assert len(set(keys)) == len(keys) > 15
    for work in works().values():
        assert work.title, work.key
        assert re.fullmatch(r"20\d\d", work.year), work.key
        assert work.key.startswith((work.names.split()[0].lower(), "signs")), work.key
        assert not work.finding.endswith("."), work.key


def test_labels_are_told_apart() -> None:
    labels = [work.label for work in works().values()]
    assert len(set(labels)) == len(labels)
    assert {"Frankle & Carbin 2019", "Zhou et al. 2019", "Gadhikar & Burkholz 2024"} <= set(labels)


def test_background_is_in_the_bibliography() -> None:
    assert [work.year for work in listed_works(BACKGROUND)] == ["2019", "2019", "2020", "2020"]


def test_an_entry_is_written_in_full() -> None:
    assert str(works()["paganini2020bespoke"]) == (
        "M. Paganini and J. Z. Forde, “Bespoke vs. Prêt-à-Porter Lottery Tickets: Exploiting Mask Similarity for "
        "Trainable Sub-Network Finding”, arXiv:2007.04091, 2020."
    )
    assert str(works()["liu2020topological"]).startswith("Liu et al., “Topological")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a mask (Zhou et al. 2019)", ("a mask ", Cite("zhou2019deconstructing"))),
        ("a mask (F&C 2019, App. E)", ("a mask ", Cite("frankle2019lottery", "App. E"))),
        ("x (Frankle & Carbin 2019, 3)", ("x ", Cite("frankle2019lottery", "Section 3"))),
        ("x (after F&C 2019, 2).", ("x ", "after ", Cite("frankle2019lottery", "Section 2"), ".")),
        ("x (Nobody 1999)", ("x (Nobody 1999)",)),
        (
            "x (Frankle & Carbin 2019; Frankle et al. 2019)",
            ("x (", Cite("frankle2019lottery"), "; ", Cite("frankle2019stabilizing"), ")"),
        ),
    ],
)
def test_sources_become_references(text: str, parts: tuple[str | Cite, ...]) -> None:
    joined: list[str | Cite] = []
    for part in parts:  # neighbouring texts may come as one
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    assert referring(text) == tuple(joined)


def test_descriptions_lose_nothing_but_sources() -> None:
    for registry in (ARMS, CRITERIA):
        for name in registry:
            text = registry.describe(name)
            said = "".join(part for part in referring(text) if isinstance(part, str))
            assert text.partition(" (")[0].rstrip(".") in said


def test_typst_reads_all_of_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(bibliography())
    cites = " ".join(f"@{key}" for key in works())
    (tmp_path / "a.typ").write_text(f'{cites}\n#bibliography("{FILE}", style: "ieee")')
    text = text_of(typst.compile(tmp_path / "a.typ", ignore_system_fonts=True))
    for work in works().values():
        assert work.title.split(":")[0].split()[-1].lower() in text.lower(), work.key
        assert work.arxiv in text.replace("arxiv.org/ abs/", "").replace(" ", ""), work.key
