"""The page opens with the answer: each question with its own picture beside it, and each picture once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from support.answer_verdicts import verdict
from support.report_frames import tables
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.verdict import VERDICTS
from tombola.report.page.page import write
from tombola.report.page.tables import VerdictSection, folded, verdict_row
from tombola.stats.verdict import NO, YES
from tombola.study.claims import QUESTIONS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = [
        verdict("w", "wins", YES),
        verdict("s", "signs", NO, difference=-0.02),
        verdict("g", "gap", difference=None, low=None, high=None),
    ]
    rows = pl.DataFrame([each.row() for each in found], schema=VERDICTS, orient="row")
    section = VerdictSection([], "", [], [], "", "", tuple(sentences(found)))
    folder: Path = tmp_path_factory.mktemp("report")
    return write(
        folder, replace(tables(), verdicts=rows), [], {}, "", verdicts=section, beside=()
    ).read_text()


def test_each_question_has_its_own_picture_where_there_is_one(page: str) -> None:
    start = page.index('id="answer"')
    answer = page[start : page.index("</section>", start)]
    places = [answer.index(QUESTIONS[question]) for question in ("wins", "signs", "gap")]
    assert places == sorted(places)
    wins, signs, gap = (answer[a:b] for a, b in zip(places, [*places[1:], len(answer)], strict=True))
    for part, question in ((wins, "wins"), (signs, "signs")):
        assert part.count("data-chart=") == 1
        assert f'data-chart="answer-{question}"' in part
    assert "data-chart=" not in gap
    assert start < page.index('id="findings"')


def test_no_picture_of_the_answer_stands_on_the_page_twice(page: str) -> None:
    for question in ("wins", "signs"):
        assert page.count(f'data-chart="answer-{question}"') == 1
        assert page.count(f'"answer-{question}": ') == 1


def test_many_claims_are_folded_by_family_under_what_they_come_to(tmp_path: Path) -> None:
    found = [verdict("a", ""), verdict("b", "", NO), verdict("c<", "", family="parts")]
    rows = [verdict_row(each) for each in found]
    section = VerdictSection(rows, "", [], [], "", "", folded=folded(found))
    claims = [f"difference {i}" for i in range(13)]
    page = write(tmp_path, tables(), claims, {}, "", verdicts=section, beside=()).read_text()
    findings = page[page.index('id="findings"') : page.index("</section>", page.index('id="findings"'))]
    folds = findings.split('<details class="fold"><summary>')[1:]
    assert [each.partition("</summary>")[0] for each in folds] == [
        "Of 2 tests of ‘answer’ 1 is “yes” and 1 is “no, the data speak against it”.",
        "Of 1 test of ‘parts’ 1 is “yes”.",
        "13 differences of arms and levels",
    ]
    assert [each.count("<li") for each in folds] == [2, 1, 13]
    assert "What c&lt; says." in folds[1]
    # A few are listed at once.
    few = write(
        tmp_path, tables(), claims[:12], {}, "", verdicts=replace(section, folded=()), beside=()
    ).read_text()
    assert '<details class="fold">' not in few
    assert few.count('<li class="verdict ') == 3
