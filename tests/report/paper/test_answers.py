"""What papers and talks say of a study's questions: the answer first, then structure; titles are results."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from support.paper_kit import HYPOTHESIS, grid, material, study, usual, words_of
from support.report_frames import results_frame, tables
from tombola.analysis.verdicts.share import ALIGNMENT
from tombola.report.figures.base import FIGURES
from tombola.report.paper.document import Grid, Heading, Items, Listing
from tombola.report.paper.paper import paper
from tombola.report.paper.slides import slides
from tombola.study.spec import Study

pytestmark = pytest.mark.usefixtures("quick_pictures")


def decisions(**changes: Any) -> pl.DataFrame:
    """Rows of a comparison: rewire and random masks, two densities, two layers, held out and as units come."""
    row = {
        "run": "kit-01234567", "measure": "jaccard", "layer": "all", "side": None, "aligned": ALIGNMENT,
        "null": "layer-shuffle", "arm_a": "ticket", "arm_b": "rewire", "density": 0.25, "replicates": 2,
        "difference": 0.1234, "low": 0.1, "high": 0.2, "p": 0.5, "p_holm": None, "verdict": "yes",
    }  # fmt: skip
    rows = [
        row | {"arm_b": arm, "density": density, "layer": layer, "aligned": aligned} | changes
        for aligned in ("raw", ALIGNMENT)
        for layer in ("fc1.weight", "all")
        for arm in ("reinit", "random-mask", "rewire")
        for density in (0.25, 0.5)
    ]
    return pl.DataFrame(rows)


def test_decisions_are_shown_at_every_density_held_out_by_layer_and_against_both_controls() -> None:
    document = paper(replace(material(), decisions=decisions()), {}, "")
    rows = grid(document, "measure").rows
    assert [row[1:4] for row in rows] == [
        (density, arm, layer)
        for density in ("50%", "25%")
        for arm in ("rewire", "random-mask")
        for layer in ("all", "fc1")
    ]
    assert {row[4:] for row in rows} == {("+0.1234 [+0.1000, +0.2000]", "2", "0.5", "–", "yes")}
    said = words_of(document)
    assert "Of 8 comparisons of tickets with controls, 8 say that tickets are more alike." in said
    assert "so that “less” than rewired masks is no finding" in said


def test_units_as_they_come_are_shown_where_nothing_is_held_out_and_what_has_no_number_is_not() -> None:
    raw = decisions().filter(aligned="raw", arm_b="random-mask", layer="all")
    rows = grid(paper(replace(material(), decisions=raw), {}, ""), "measure").rows
    assert [row[1:4] for row in rows] == [("50%", "random-mask", "all"), ("25%", "random-mask", "all")]
    none = decisions(difference=None)
    assert not any(
        isinstance(block, Grid) and block.head[0] == "measure"
        for block in paper(replace(material(), decisions=none), {}, "").blocks
    )


def test_a_study_that_answers_questions_opens_with_them() -> None:
    m = material(of=study(hypothesis=[HYPOTHESIS | {"answers": "wins"}]))
    document = paper(m, {}, "")
    heading, items, *_ = document.blocks
    assert heading == Heading("Answer")
    assert isinstance(items, Items)
    assert str(items.items[0][0]).startswith(
        "Does the ticket win? Not resolvable with this n (n = 2 is too small"
    )
    # The table has it all the same; the sentence on it is not printed twice.
    assert len(grid(document, "hypothesis").rows) == 2
    assert words_of(document).count("Weights drawn afresh @ are *worse*. This is not resolvable") == 0
    talk = slides(m, {}, "")
    assert any(slide.message == "Does the ticket win? Not resolvable with this n." for slide in talk.slides)


def test_a_paper_prints_what_its_study_sets_and_not_the_defaults() -> None:
    [*_, listing] = [block for block in paper(material(), {}, "").blocks if isinstance(block, Listing)]
    assert 'arms = ["reinit", "ticket"]' in listing.text
    assert "densities = [0.5, 0.03]" in listing.text
    assert "weight_decay" not in listing.text
    assert Study.model_validate(tomllib.loads(listing.text)) == material().study


def test_prose_of_many_arms_speaks_of_those_that_go_down_the_ladder() -> None:
    whole = results_frame()
    last = whole.filter((pl.col("level") == 2) & (pl.col("arm") == "reinit"))
    more = [last.with_columns(arm=pl.lit(f"own-{i}")) for i in range(4)]
    document = paper(material(tables(pl.concat([whole, *more]))), {}, "")
    assert "own-0 " not in words_of(document).partition("Results")[2]
    main, every = (block for block in document.blocks if isinstance(block, Grid) and block.head[0] == "level")
    assert {row[1] for row in main.rows} == {"ticket", "reinit"}
    assert {row[1] for row in every.rows} >= {"own-0", "own-3"}
    # 93% at 50%, dense at 91%.
    assert str(main.caption[0]).startswith(
        "The ticket is most accurate at 50% with 93.00%, beside 91.00% of the dense"
    )


def test_donors_and_twins_are_told_where_arms_take_from_them() -> None:
    spec = {"data": {"name": "digits", "split": "study"}, "store": {"keep": "living"}, "hypothesis": []}
    arms = [{"name": "donor"}, {"name": "twin"}]
    said = words_of(paper(material(of=study(arms=arms, donors=3, **spec)), {}, ""))
    assert "Donors are 3 further ladders with seeds of their own" in said
    assert "Replicate r takes from donor r (mod 3)" in said
    assert "conditional on this pool of donors" in said
    assert "A twin is a ladder from the replicate's own start" in said
    assert "the same for all networks of the study, are held out" in said
    assert "Donors are" not in words_of(paper(material(), {}, ""))


def test_titles_of_slides_are_results() -> None:
    titles = [slide.message for slide in slides(*usual(), "").slides]
    # 1 - 0.89, with reinit at 1 - 0.81 and dense at 1 - 0.91
    assert (
        "At 25% the ticket errs in 11.00% of test images (reinit 19.00%, dense 9.00%) (n = 2 replicates)"
        in titles
    )
    assert (
        "At 25% the ticket stops early at iteration 700 (reinit 1,500, dense 1,100) (n = 2 replicates)"
        in titles
    )
    assert not {FIGURES[name].title for name in FIGURES} & set(titles)


def test_no_slide_splits_a_table_for_one_row() -> None:
    many = [HYPOTHESIS | {"name": f"claim-{i}", "densities": [0.5]} for i in range(6)]
    grids = [
        block
        for slide in slides(material(of=study(hypothesis=many)), {}, "").slides
        for block in slide.blocks
        if isinstance(block, Grid) and block.head[0] == "claim"
    ]
    assert [len(each.rows) for each in grids] == [3, 3]
