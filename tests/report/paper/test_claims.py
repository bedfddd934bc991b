"""Claims in papers: a table a family, sentences on what has to be read, and a conclusion in few words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.answer_verdicts import verdict
from support.paper_kit import material, usual, words_of
from tombola.analysis.verdicts.answers import families
from tombola.analysis.verdicts.verdict import Verdict
from tombola.report.paper.claims import conclusion, discussion, told, verdicts_in_words
from tombola.report.paper.document import Document, Drawing, Grid
from tombola.report.paper.material import Material
from tombola.report.paper.paper import paper
from tombola.report.paper.slides import forests, slides
from tombola.stats.verdict import CLOSE, NO, UNTESTED

pytestmark = pytest.mark.usefixtures("quick_pictures")

MANY = [
    verdict("wins", "wins"),
    verdict("wins", "wins", NO, density=0.0176, difference=-0.01, low=-0.02, high=-0.005),
    verdict("plain", ""),
    *(verdict(f"part-{i}", "", family="parts", test="t", p_holm=0.01, effect=1.5) for i in range(9)),
    verdict("open", "", CLOSE, family="parts", direction="same", margin=0.005, needs="wins"),
]


def with_verdicts(found: list[Verdict]) -> Material:
    """The usual material with these verdicts."""
    m = material()
    assert m.verdicts is not None
    return replace(m, verdicts=replace(m.verdicts, verdicts=tuple(found)))


def test_a_sentence_is_on_the_first_family_and_on_what_went_otherwise() -> None:
    assert [each.name for each in told(MANY)] == ["plain", "open"]
    assert [len(each) for each in families(MANY)] == [3, 10]


def test_further_densities_of_a_claim_follow_its_sentence_in_short() -> None:
    first = verdict("open", "", CLOSE, n_needed=40, tests=2, p_holm=0.5)
    sparser = replace(first, density=0.0176, p=0.25)
    unasked = replace(first, density=None, difference=None, decision=UNTESTED, why="no level is near")
    said = words_of(Document("", "", "", tuple(verdicts_in_words(with_verdicts([first, sparser, unasked])))))
    assert (
        "What open says. This is too close to say (n would be 40): ticket less reinit at 3.4% (level 5)"
        in said
    )
    assert (
        "At 1.76%: too close to say (n would be 40), +1.23 pp [+0.45, +2.01], p = 0.25, 0.5 by Holm. This was"
        in said
    )
    assert (
        "This was not tested: ticket less reinit at 3.4%, early stop test accuracy: no level is near." in said
    )


def test_each_family_has_a_table_with_each_claim_once() -> None:
    answer, parts = (block for block in verdicts_in_words(with_verdicts(MANY)) if isinstance(block, Grid))
    assert [row[0] for row in answer.rows] == [
        "What wins says (wins: ticket less reinit > 0).",
        "",
        "What plain says (plain: ticket less reinit > 0).",
    ]
    assert [row[1] for row in answer.rows] == ["3.43%", "1.76%", "3.43%"]
    assert [row[-1] for row in answer.rows] == ["yes", "no, the data speak against it", "yes"]
    assert parts.rows[-1][0] == "What open says (open: ticket less reinit within ±0.50 pp, if wins came out)."
    assert parts.rows[0][2:6] == ("+1.23 pp [+0.45, +2.01]", "1.50", "0.0078", "0.01")
    caption = str(parts.caption[0])
    assert caption.startswith(
        "The claims of family ‘parts’: 9 are “yes” and 1 is “too close to say”, at alpha 0.05, n = 7."
    )
    assert "Differences are of early stop test accuracy. p is by " in caption
    # Of several quantities each is named.
    mixed = [MANY[0], replace(MANY[2], quantity="measure:jaccard@weights@dense,fc1.weight")]
    [grid] = [block for block in verdicts_in_words(with_verdicts(mixed)) if isinstance(block, Grid)]
    assert grid.rows[1][0] == "What plain says (plain: jaccard in fc1 of ticket less reinit > 0)."
    assert "Differences are of" not in str(grid.caption[0])
    assert "Measures are taken under the alignment weights@dense." in str(grid.caption[0])


def test_the_conclusion_is_in_the_words_of_the_answer_and_counts_by_family() -> None:
    said = words_of(Document("", "", "", (conclusion(with_verdicts(MANY)),)))
    assert said == (
        "Does the ticket win? Yes. In this setting the following was found as it had been claimed. What plain says (at "
        "3.43%). Of 3 tests of ‘answer’ 2 are “yes” and 1 is “no, the data speak against it”; of 10 tests of ‘parts’ 9 "
        "are “yes” and 1 is “too close to say”."
    )
    said = words_of(Document("", "", "", (discussion(with_verdicts(MANY)),)))
    assert said.startswith(
        "“Yes”: 11 tests. “No, the data speak against it”: wins (at 1.76%). “Too close to say”: open (at 3.43%). All"
    )


def test_a_talk_draws_a_family_of_many_claims_and_names_its_result() -> None:
    m = with_verdicts(MANY)
    drawn = forests(m)
    assert list(drawn) == ["claims-1"]
    # Points and iterations have no axis in common.
    assert forests(with_verdicts([replace(MANY[3], quantity="early_stop_iteration"), *MANY[4:]])) == {}
    talk = slides(m, drawn, "")
    [family] = [slide for slide in talk.slides if any(isinstance(block, Drawing) for block in slide.blocks)]
    assert family.message == "Of 10 tests of ‘parts’ 9 are “yes” and 1 is “too close to say”."
    [table] = [
        block
        for slide in talk.slides
        for block in slide.blocks
        if isinstance(block, Grid) and block.left == 3
    ]
    assert [row[0] for row in table.rows] == ["What plain says."]
    # The questions have slides of their own, and are the claims that a listener has to know.
    titles = [slide.message for slide in talk.slides]
    assert "Does the ticket win? Yes." in titles
    assert "What the study claims" not in titles
    assert "What the study claims" in [
        slide.message for slide in slides(with_verdicts(MANY[2:]), {}, "").slides
    ]


def test_a_paper_with_results_counts_its_claims_and_leaves_the_list_to_the_tables() -> None:
    said = words_of(paper(*usual(), ""))
    assert "The study makes 1 claim. They are listed with their decisions among the results." in said
    unbegun = replace(material(), tables=None, verdicts=None)
    assert "The study claims the following" in words_of(paper(unbegun, {}, ""))
