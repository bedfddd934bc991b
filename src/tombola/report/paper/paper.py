"""The paper and the proposal of a study: sections filled in from what is known, and stubs for what only a person can
say."""

from __future__ import annotations

from collections.abc import Mapping

from tombola.report.figures.base import FIGURES, Picture
from tombola.report.paper import claims, findings, sections, structure
from tombola.report.paper.document import (
    Appendix,
    Block,
    Document,
    Drawing,
    Heading,
    Listing,
    Note,
    References,
    Stub,
    paragraph,
)
from tombola.report.paper.material import Material
from tombola.stats.intervals import FEWEST
from tombola.study.claims import QUESTIONS
from tombola.study.origin import origin_of
from tombola.study.title import title_of
from tombola.text import listed

ANSWERS = tuple(f"answer-{question}" for question in QUESTIONS)
MAIN = ("accuracy-early-stop", "early-stop", "accuracy-final", "gap", "learning-curves")
"""Figures that stand with the results; others are in the appendix."""
WIDE = 160.0
"""Millimetres of a text line, and so of a figure that takes it whole."""
HALF = 76.0
"""Millimetres of a figure that stands beside another."""
HALVES = MAIN[:4]
TALL = {"arms": 110.0}
"""Millimetres that a figure of many rows may be high; others are as high as goes with their width."""

Charts = Mapping[str, Picture]
"""The figures that could be drawn, by name."""


def paper(m: Material, charts: Charts, date: str) -> Document:
    """The paper of a run, finished or not."""
    blocks: list[Block] = [
        *structure.answer(m),
        *sections.introduction(m),
        *sections.problem(m),
        Heading("Experimental evaluation"),
        Heading("Methodology", 2),
        *sections.methodology(m),
        Heading("Results", 2),
        *results(m, charts),
        Heading("Discussion", 2),
        claims.discussion(m),
        Stub("what the results mean, what else could explain them, and what the numbers do not reach."),
    ]
    end: list[Block] = [
        *sections.code(m),
        Heading("Conclusion"),
        claims.conclusion(m),
        Stub("what a reader should take away, and what should be done next."),
    ]
    blocks += [*sections.related(blocks + end), *end, References(), *appendix(m, charts)]
    return Document(title_of(m.study), f"A study with Tombola, run {m.name}", date, tuple(blocks))


def proposal(m: Material, charts: Charts, date: str) -> Document:
    """The proposal of a study that is unfinished or not begun."""
    begun = m.begun
    blocks: list[Block] = [
        *sections.introduction(m),
        *sections.problem(m),
        Heading("Planned evaluation"),
        Heading("Methodology", 2),
        *sections.methodology(m),
        *sections.prospects(m),
        Heading("Preliminary results"),
        *(
            [Note("What is here may change: the study is not finished.")] * bool(m.undone)
            if begun
            else [paragraph("There are none yet: the study was not begun.")]
        ),
        *(results(m, charts) if begun else []),
        Heading("Next steps"),
        sections.next_steps(m),
        Stub("what is to be done with the results, and what would be done if they came out otherwise."),
    ]
    end: list[Block] = [
        Heading("Roles and timeline"),
        Stub("who does what."),
        Stub("when: milestones, and what will be there at each."),
        *sections.code(m),
    ]
    blocks += [*sections.related(blocks + end), *end, References(), *appendix(m, charts)]
    return Document(f"Proposal: {title_of(m.study)}", f"A study with Tombola, {m.name}", date, tuple(blocks))


def results(m: Material, charts: Charts) -> list[Block]:
    """Numbers, figures and decisions."""
    blocks: list[Block] = [*findings.warnings(m)]
    if not m.begun:
        return [*blocks, paragraph("No cell is done yet, so there are no results.")]
    blocks += findings.levels_in_words(m)
    blocks += findings.main_table(m)
    blocks += [drawing(m, name, charts) for name in (*MAIN, "arms") if name in charts]
    absent = [f"{FIGURES[name].title.lower()}" for name in MAIN if name not in charts]
    if absent:
        blocks.append(paragraph(f"Not drawn, since the run does not hold what they show: {listed(absent)}."))
    return [
        *(drawing(m, name, charts) for name in ANSWERS if name in charts),
        *blocks,
        *claims.verdicts_in_words(m),
        *findings.expectations_table(m),
        *structure.decisions_table(m),
    ]


def drawing(m: Material, name: str, charts: Charts) -> Drawing:
    """A figure with its caption, which says over how many replicates its means are."""
    figure, n = FIGURES[name], m.tables.replicates() if m.tables else 0
    reading = figure.caption(charts[name])
    if n < FEWEST:
        reading = reading.replace("the band is their 95% t-interval", "no interval")
    over = f"n = {n} replicate{'s' * (n > 1)}"
    caption = f"{figure.title} ({over}). {reading}"
    return Drawing(name, (caption,), charts[name].to_dict()["description"], name in HALVES)


def appendix(m: Material, charts: Charts) -> list[Block]:
    """All levels, further figures, and the study file."""
    shown = (*ANSWERS, *MAIN, "arms")
    more: list[Block] = [drawing(m, name, charts) for name in charts if name not in shown]
    table = findings.level_table(m)
    return [
        Appendix(),
        *([Heading("All levels"), *table] if table else []),
        Heading("The study file"),
        *study_file(m),
        *([Heading("Further figures"), *more] if more else []),
    ]


def study_file(m: Material) -> list[Block]:
    """What the study sets beside the preset that it comes from, else all that it sets."""
    origin = origin_of(m.study)
    if origin is None:
        said = "What the study sets; everything else has its default."
        return [paragraph(said), Listing(m.study.to_toml(defaults=False))]
    said = f"The study is the preset {origin.preset} of this version of Tombola"
    whole = "; study.toml in the folder of the run has all of it" * m.begun
    if not origin.settings:
        return [paragraph(f"{said}{whole}.")]
    return [paragraph(f"{said} with the following set{whole}."), Listing("\n".join(origin.settings))]
