from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from support.paper_kit import (
    HYPOTHESIS,
    NASTY,
    PUBLISHED,
    drawable,
    grid,
    inspect,
    material,
    odd,
    study,
    typeset,
    usual,
    words_of,
)
from support.report_frames import odd_tables, results_frame, spoilt, tables
from tombola.lottery.cell import Cell
from tombola.lottery.modes import MODES
from tombola.report.paper import methods
from tombola.report.paper.document import Document, Drawing, Items, Note, Paragraph, Stub
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.report.paper.paper import paper, proposal
from tombola.report.paper.sections import next_steps
from tombola.report.paper.slides import slides
from tombola.training.search.base import SEARCHES

pytestmark = pytest.mark.usefixtures("quick_pictures")

ODD = list(odd_tables())


@pytest.mark.parametrize("what", ODD)
def test_a_sensible_paper_of_odd_runs(what: str, tmp_path: Path) -> None:
    text = inspect(typeset(paper(*odd(what), "2026-01-02"), tmp_path))
    for section in (
        "Introduction",
        "Problem definition and algorithm",
        "Task",
        "Algorithm",
        "Experimental evaluation",
        "Methodology",
        "Results",
        "Discussion",
        "Related work",
        "Code and data set",
        "Conclusion",
        "Bibliography",
    ):
        assert section in text, section


@pytest.mark.parametrize("what", ODD)
def test_a_sensible_talk_of_odd_runs(what: str, tmp_path: Path) -> None:
    text = inspect(typeset(slides(*odd(what), "2026-01-02"), tmp_path))
    assert "The data are digits" in text
    assert "what comes next" in text


def test_what_is_missing_is_said() -> None:
    def said(what: str) -> str:
        document = paper(*odd(what), "")
        notes = [block.text for block in document.blocks if isinstance(block, Note)]
        return " ".join([*notes, words_of(document)])

    assert "There is one replicate, so no mean has an interval" in said("one replicate")
    assert "validation loss during training" in said("no history")
    assert "No cell is done yet" in said("nothing yet")
    assert "0 of 10 cells are done" in said("nothing yet")
    assert "cells diverged" in said("all diverged")


def test_the_numbers_are_those_of_the_run() -> None:
    # Means 0.92 (dense) and 0.94 (50%) with half intervals 0.04968; early stop of dense 1,200 +- 496.8.
    document = paper(material(tables(results_frame(3)), study(replicates=3)), {}, "")
    said = words_of(document)
    assert "test accuracy of 92.00% [87.03, 96.97] at early stop (n = 3)" in said
    assert "after 1,200 [703, 1,697] iterations" in said
    assert "With 50% of the weights (level 1) the accuracies at early stop were: ticket 94.00%" in said
    # Training accuracy at the end is test at early stop + 0.03, test at the end - 0.05: a gap of 8 points.
    assert "8.00 [8.00, 8.00] points above" in said
    levels = grid(document, "level")
    assert levels.rows[1][:4] == ("1", "ticket", "50%", "3")


def test_two_replicates_have_no_intervals() -> None:
    said = words_of(paper(material(), {}, ""))
    assert "The dense network had a test accuracy of 91.00% at early stop (n = 2)" in said
    assert "t-intervals over replicates, which fewer than three lack" in said


UNRESOLVED = "not resolvable with this n"


def test_prose_never_claims_more_than_the_decision() -> None:
    document = paper(material(), {}, "")
    said = words_of(document)
    # Two replicates: no sign-flip p is below 1/4, so a claim at alpha 0.05 cannot be resolved; at 3% there is no level.
    assert "Of 2 tests of the claims, 1 is “not resolvable” and 1 is “not tested”." in said
    assert (
        "This is not resolvable with this n (n = 2 is too small: p is 0.25 at least, above alpha 0.05; it takes 5 "
        "replicates)" in said
    )
    assert "No claim of this study was shown by this run." in said
    assert "This was found" not in said
    rows = grid(document, "hypothesis").rows
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("Weights drawn afresh @ are *worse* (reinit-worse: reinit less ticket < 0).", "50%", UNRESOLVED),
        ("", "3%", "not tested"),
    ]


def test_a_shown_claim_is_concluded_and_no_other() -> None:
    certain = {"test": "t", "direction": "less"}
    hypotheses = [
        {
            "name": "shown",
            "claim": "Shown indeed.",
            "quantity": "gap",
            "arms": ["ticket", "dense"],
            "densities": [0.5],
            **certain,
        },
        {
            "name": "open",
            "claim": "Open still.",
            "quantity": "early_stop_iteration",
            "arms": ["ticket", "dense"],
            "densities": [0.25],
            "direction": "greater",
            "test": "t",
        },
    ]
    rows = results_frame()
    # Gaps of tickets at 50%: 5 and 5.2 points below dense, so t(1) = -51 and p = 0.006 one-sided.
    shift = 0.05 + 0.002 * pl.col("replicate")
    there = (pl.col("arm") == "ticket") & (pl.col("level") == 1)
    rows = rows.with_columns(
        final_train_accuracy=pl.col("final_train_accuracy") - pl.when(there).then(shift).otherwise(0.0)
    )
    m = material(tables(rows), study(hypothesis=hypotheses))
    said = words_of(paper(m, {}, ""))
    assert "In this setting the following was found as it had been claimed. Shown indeed (at 50%)." in said
    assert "(at 50%). Of 2 tests of the claims, 1 is “yes” and 1 is “not resolvable”." in said
    assert "Open still (" not in said.partition("In this setting")[2]
    assert "Shown indeed. This was found: ticket less dense at 50.0% (level 1), gap: -5.10 pp" in said


def test_what_the_data_speak_against_is_told_from_what_was_not_shown() -> None:
    claimed = {"name": "wider", "claim": "Tickets have a wider gap.", "quantity": "gap", "test": "t"}
    claimed |= {"arms": ["ticket", "dense"], "densities": [0.5], "direction": "greater"}
    rows = results_frame()
    # As above: gaps of tickets are 5 and 5.2 points below dense, p = 0.006 one-sided.
    shift = 0.05 + 0.002 * pl.col("replicate")
    there = (pl.col("arm") == "ticket") & (pl.col("level") == 1)
    rows = rows.with_columns(
        final_train_accuracy=pl.col("final_train_accuracy") - pl.when(there).then(shift).otherwise(0.0)
    )
    document = paper(material(tables(rows), study(hypothesis=[claimed])), {}, "")
    said = words_of(document)
    assert "Of 1 test of the claims, 1 is “no, the data speak against it”." in said
    assert (
        "Tickets have a wider gap. The data speak against this (the other way p = 0.0062): ticket less dense"
        in said
    )
    assert "“No, the data speak against it”: wider (at 50%)." in said
    assert "The data speak against the following claims. Tickets have a wider gap (at 50%)." in said
    assert grid(document, "hypothesis").rows[0][-1] == "no, the data speak against it"


def test_published_numbers_are_held_beside() -> None:
    document = paper(material(), {}, "")
    rows = grid(document, "what").rows
    # 0.93 was published with +- 0.01, the mean here is 0.93; at 1% nothing was measured.
    assert rows[0][1] == "93.00% ± 1.00% in A # B"
    assert rows[0][2] == "93.00%, n = 2"
    assert [row[3] for row in rows] == ["yes", "–"]
    assert "Of 2 published numbers, 1 agrees with what was found here" in words_of(document)


def test_what_the_user_wrote_is_printed_as_it_is(tmp_path: Path) -> None:
    text = inspect(typeset(paper(material(), {}, "2026-01-02"), tmp_path))
    plain = NASTY.replace('"q"', "“q”")
    assert plain in text
    assert "Weights drawn afresh @ are *worse*" in text
    assert "A # CPU" in text
    assert "2026-01-02" in text


def test_only_cited_works_are_listed(tmp_path: Path) -> None:
    text = inspect(typeset(paper(material(), {}, ""), tmp_path))
    assert "Finding Sparse, Trainable Neural Networks" in text
    assert "Git Re-Basin" not in text
    arms = [{"name": "permute-mask"}]
    cited = inspect(typeset(paper(material(of=study(arms=arms, hypothesis=[])), {}, ""), tmp_path))
    assert "Git Re-Basin" in cited


def test_stubs_are_marked(tmp_path: Path) -> None:
    document = paper(material(), {}, "")
    stubs = [block for block in document.blocks if isinstance(block, Stub)]
    assert len(stubs) == 5
    assert inspect(typeset(document, tmp_path)).count("To be written:") == len(stubs)


def test_captions_give_n_and_the_band() -> None:
    m = material(tables(results_frame(3)), study(replicates=3))
    captions = {block.name: block.caption[0] for block in paper(m, drawable(m), "").drawings()}
    assert "n = 3 replicates" in str(captions["early-stop"])
    assert "the band is their 95% t-interval" in str(captions["early-stop"])
    for (few, charts), n in ((odd("one replicate"), "n = 1 replicate)"), (usual(), "n = 2 replicates)")):
        for each in paper(few, charts, "").drawings():
            assert n in str(each.caption[0])
            assert "t-interval" not in str(each.caption[0])


def test_a_collapsed_cell_is_noted() -> None:
    rows = spoilt(results_frame(), (pl.col("level") == 2) & (pl.col("replicate") == 1), "collapsed")
    notes = [block.text for block in paper(material(tables(rows)), {}, "").blocks if isinstance(block, Note)]
    # Of 2 x (1 + 2 + 2 * 2) = 14 cells, the ticket and two draws of reinit.
    assert any("3 of 14 cells collapsed" in note for note in notes)


UNDONE = [Cell(1, 1, "ticket", 0), Cell(1, 2, "ticket", 0), Cell(1, 2, "reinit", 0)]


def test_a_proposal_says_what_is_left(tmp_path: Path) -> None:
    m = material(undone=UNDONE, seconds=7260.0)
    step = words_of(Document("", "", "", (next_steps(m),)))
    assert step == (
        "3 cells are still to be trained: ticket and reinit, levels 1 to 2, in 1 of 2 replicates. This takes about "
        "2 h 1 min, at the speed of those that are done."
    )
    text = inspect(typeset(proposal(m, {}, ""), tmp_path))
    for part in (
        "Proposal:",
        "Planned evaluation",
        "Preliminary results",
        "Next steps",
        "Roles and timeline",
    ):
        assert part in text, part
    # Sign-flips of two replicates: 1/4 at best.
    assert "smallest possible p 0.25" in text
    assert "it takes 5 replicates" in text


@pytest.mark.parametrize("unknown", ["", "data set 'mnist' is not here"])
def test_a_proposal_of_what_was_not_begun(unknown: str, tmp_path: Path) -> None:
    m = Material(study(), "kit-01234567", unknown=unknown, undone=UNDONE)
    text = inspect(typeset(proposal(m, {}, ""), tmp_path))
    assert "the study was not begun" in text
    assert "could not be counted here" in text
    assert unknown in text.replace("‘", "'").replace("’", "'")
    assert "No cell of the study is done" in inspect(typeset(slides(m, {}, ""), tmp_path / "talk"))


def test_every_slide_has_one_message_and_a_figure_of_its_own() -> None:
    document = slides(*usual(), "")
    for slide in document.slides:
        assert slide.message
        assert sum(isinstance(block, Drawing) for block in slide.blocks) <= 1
    assert "accuracy-early-stop" in [drawing.name for drawing in document.drawings()]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_told_step_by_step(mode: str) -> None:
    steps, rule = algorithm(material(of=study(pruning={"rate": 0.5, "mode": mode, "rewind": 7})))[1:]
    assert isinstance(steps, Items)
    assert len(steps.items) >= 3
    said = " ".join(str(part) for item in steps.items for part in item)
    assert ("iteration 7" in said) == (mode != "at-init")
    assert (mode in said) == (mode in SEARCHES)
    assert isinstance(rule, Paragraph)
    told = "".join(str(part) for part in rule.words)
    assert "50% of" in told
    assert ("criterion 'large-final'" in told) == (mode not in SEARCHES)


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ("rewind", "back to the initial weights"),
        ("learning-rate", "put the learning rate back"),
        ("fine-tune", "the last learning rate"),
    ],
)
def test_what_happens_after_pruning_is_told(after: str, sentence: str) -> None:
    arms: list[dict[str, str]] = []
    spec = study(pruning={"rate": 0.5, "after": after}, arms=arms, hypothesis=[])
    steps = algorithm(material(of=spec))[1]
    assert isinstance(steps, Items)
    assert sentence in " ".join(str(part) for item in steps.items for part in item)
    words = " ".join(
        str(part) for block in methods.arms(material(of=spec)) for part in getattr(block, "items", [])
    )
    assert ("learning rate rewinding" in words) == (after != "rewind")


def test_a_talk_has_room_for_many_long_claims(tmp_path: Path) -> None:
    claim = (
        "Winning tickets of a long name reach their least validation loss sooner than the dense network. " * 3
    )
    many = [HYPOTHESIS | {"name": f"claim-{i}", "claim": f"{i}: {claim}"} for i in range(12)]
    m = material(of=study(hypothesis=many, expect=[PUBLISHED | {"source": claim}] * 9))
    text = inspect(typeset(slides(m, {}, ""), tmp_path))
    for i in range(12):  # each test has its row: two densities
        assert text.count(f"{i}: Winning tickets") >= 2


def test_a_reduced_study_names_the_levels_and_arms_that_it_has() -> None:
    arms = [
        {"name": "reinit", "levels": [1, 2, 7, 12]},
        {"name": "random-mask", "levels": [7, 12]},
        {"name": "permute-mask"},
    ]
    m = material(of=study(arms=arms, replicates=5))
    said = words_of(paper(m, {}, ""))
    [reinit] = [
        words
        for block in methods.arms(m)
        if isinstance(block, Items)
        for words in block.items
        if words[0] == "reinit: "
    ]
    assert str(reinit[-1]) == ", at levels 1 and 2."
    assert "beside reinit and permute-mask as controls" in said
    assert "random-mask" not in said.partition("[[arms]]")[0]
    assert "12" not in said.partition("Each level trains")[2].partition("There are")[0]
    talk = slides(m, {}, "")
    assert "Tickets beside reinit and permute-mask" in [slide.message for slide in talk.slides]
    none = material(of=study(arms=arms, levels=0, hypothesis=[]))
    assert "beside" not in words_of(paper(none, {}, "")).partition("in 2 replicates")[0]


def test_a_claim_that_no_level_answers_says_so() -> None:
    said = words_of(paper(material(), {}, ""))
    assert (
        "reinit less ticket at 3.0%, early stop test accuracy: no level of this study is within 10% of this density; "
        "the nearest is at 25.0%" in said
    )


def test_early_stops_at_the_end_are_flagged_in_prose_and_table() -> None:
    rows = results_frame().with_columns(early_stop_at_end=(pl.col("level") == 0) & (pl.col("replicate") == 0))
    document = paper(material(tables(rows)), {}, "")
    said = words_of(document)
    assert "which came after 1,100 iterations (no minimum before the end in 1 of 2)" in said
    assert grid(document, "level").rows[0][-1] == "1100 †1/2"
    notes = [block.text for block in document.blocks if isinstance(block, Note)]
    assert any(note.startswith("In 1 of 14 trainings") for note in notes)
    talk = slides(material(tables(rows)), {}, "")
    assert "Before the numbers" in [slide.message for slide in talk.slides]


def test_the_column_of_holm_holds_corrected_p() -> None:
    """Two equal claims by t: p 0.006 each, twice that by Holm."""
    one = {"claim": "Tickets have a smaller gap.", "quantity": "gap", "test": "t", "direction": "less"}
    one |= {"arms": ["ticket", "dense"], "densities": [0.5]}
    rows = results_frame()
    shift = 0.05 + 0.002 * pl.col("replicate")
    there = (pl.col("arm") == "ticket") & (pl.col("level") == 1)
    rows = rows.with_columns(
        final_train_accuracy=pl.col("final_train_accuracy") - pl.when(there).then(shift).otherwise(0.0)
    )
    of = study(hypothesis=[one | {"name": "a"}, one | {"name": "b"}])
    document = paper(material(tables(rows), of), {}, "")
    for row in grid(document, "hypothesis").rows:
        assert row[4:6] == ("0.0062", "0.012")
    claims = grid(document, "hypothesis")
    assert [row[0] for row in claims.rows] == [
        f"Tickets have a smaller gap ({x}: ticket less dense < 0)." for x in "ab"
    ]
    assert str(claims.caption[0]).startswith(
        "The claims: 2 are “yes”, at alpha 0.05, n = 2. Differences are of gap."
    )
    row = {"run": "x", "measure": "jaccard", "layer": "all", "side": None, "aligned": "raw", "null": None}
    row |= {"arm_b": "reinit", "density": 0.25, "replicates": 2, "difference": 0.1, "low": None, "high": None}
    frame = pl.DataFrame([row | {"p": 0.01, "p_holm": 0.03, "verdict": "yes"}])
    assert grid(paper(replace(material(), decisions=frame), {}, ""), "measure").rows[0][6:8] == (
        "0.01",
        "0.03",
    )
