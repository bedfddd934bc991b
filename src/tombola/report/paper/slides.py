"""The talk: problem, data, approach and results, next steps; one message a slide."""

from __future__ import annotations

from dataclasses import replace

from tombola.analysis import wording
from tombola.report.figures.base import FIGURES
from tombola.report.paper import findings, methods
from tombola.report.paper.bibliography import referring
from tombola.report.paper.document import Document, Drawing, Grid, Items, Slide, Stub, bullets, paragraph
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.report.paper.paper import Charts
from tombola.report.paper.sections import next_steps
from tombola.study.title import title_of
from tombola.text import counted, listed, percent

SHOWN = (
    "accuracy-early-stop",
    "early-stop",
    "learning-curves",
    "gap",
    "overlap",
    "sign-agreement",
    "input-map",
)
"""Figures that get a slide each, where they could be drawn."""
MOST = 5
"""Claims a slide."""


def slides(m: Material, charts: Charts, date: str) -> Document:
    """The talk on a run, finished or not, or on a study that was not begun."""
    study = m.study
    weights = f"{m.weights:,} prunable weights" if m.weights else "weights that could not be counted here"
    steps = next(block for block in algorithm(m) if isinstance(block, Items))
    notes = tuple(findings.warnings(m)[:4])
    nothing = paragraph("No cell of the study is done.")
    found = [
        _problem(),
        *_claims(m),
        Slide(f"Data: {study.data.name}", (methods.data(m),)),
        Slide(f"Tickets are drawn from {study.model.name}, {weights}", (steps,)),
        _controls(m),
        *([Slide("Before the numbers", notes)] if notes else []),
        *(_shown(m, name, charts) for name in SHOWN if name in charts),
        *([*_decided(m), *_published(m)] if m.begun else [Slide("There are no results yet", (nothing,))]),
        Slide(
            "Next steps",
            (
                *([] if m.finished else [next_steps(m)]),
                Stub("what follows from this, and what comes next."),
            ),
        ),
    ]
    line = f"{study.model.name} on {study.data.name}, {m.name}"
    return Document(title_of(study), line, date, slides=tuple(found))


def _problem() -> Slide:
    said = (
        "After training, most weights of a network can be removed at little cost.",
        "The lottery ticket hypothesis: the dense network holds a sparse subnetwork that, trained alone from its own "
        "initial weights, does as well (Frankle & Carbin 2019).",
        "What makes it win is seen beside controls that lack one of its traits.",
    )
    blocks = (Items(tuple(map(referring, said))), Stub("why this matters to the audience."))
    return Slide("Which few weights would have been enough?", blocks)


def _claims(m: Material) -> list[Slide]:
    claims = [each.claim for each in m.study.hypothesis]
    if not claims:
        return []
    before = m.recorded is not None and not m.recorded["cells"]
    message = "What was claimed before the first training" if before else "What the study claims"
    more = [f"and {len(claims) - MOST} more"] if len(claims) > MOST else []
    return [Slide(message, (bullets(claims[:MOST] + more),))]


def _controls(m: Material) -> Slide:
    study, arms = m.study, m.study.trained_arms
    beside = listed(arm.name for arm in arms) if len(arms) <= 3 else f"{len(arms)} controls"
    lowest = f", down to {percent(min(m.densities))}" if len(m.densities) > 1 else ""
    said = [
        f"{counted(study.replicates, 'replicate')}, {study.levels} levels below dense{lowest}",
        f"{study.recipe.iterations:,} iterations in batches of {study.recipe.batch}",
        *(f"{arm.name}: {methods.meaning_in_short(arm.name, str(arm.arm))}" for arm in arms[:MOST]),
    ]
    return Slide(f"Tickets beside {beside or 'the dense network alone'}", (bullets(said),))


def _shown(m: Material, name: str, charts: Charts) -> Slide:
    over = counted(m.tables.replicates() if m.tables else 0, "replicate")
    drawing = Drawing(name, (), charts[name].to_dict()["description"])
    return Slide(f"{FIGURES[name].title} ({over})", (drawing,))


def _decided(m: Material) -> list[Slide]:
    if m.verdicts is None:
        return []
    rows = [(each.claim, wording.difference(each), wording.decided(each)) for each in m.verdicts.verdicts]
    head = ("claim", "difference [95% interval]", "decision")
    return [
        Slide(findings.tally(m.verdicts), (Grid(head, tuple(rows[start : start + MOST]), (), left=3),))
        for start in range(0, len(rows), MOST)
    ]


def _published(m: Material) -> list[Slide]:
    tables = [block for block in findings.expectations_table(m) if isinstance(block, Grid)]
    short = tuple(replace(table, rows=table.rows[:MOST], caption=()) for table in tables)
    return [Slide("Beside published numbers", short)] if short else []
