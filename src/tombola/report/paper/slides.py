"""The talk: problem, data, approach and results, next steps; one message a slide."""

from __future__ import annotations

from tombola.analysis import wording
from tombola.report.figures.base import FIGURES
from tombola.report.paper import findings, methods
from tombola.report.paper.bibliography import LOTTERY
from tombola.report.paper.document import (
    Block,
    Cite,
    Document,
    Drawing,
    Grid,
    Items,
    Note,
    Slide,
    Stub,
    Words,
    paragraph,
)
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.report.paper.paper import Charts
from tombola.report.paper.sections import next_steps
from tombola.study.title import title_of
from tombola.text import listed, percent

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
    found = [
        _problem(m),
        *_claims(m),
        _data(m),
        _approach(m),
        _controls(m),
        *_warned(m),
        *(_shown(m, name, charts) for name in SHOWN if name in charts),
        *_decided(m),
        *_published(m),
        *(
            []
            if m.begun
            else [Slide("There are no results yet", (paragraph("No cell of the study is done."),))]
        ),
        Slide(
            "Next steps",
            (
                *([] if m.finished else [next_steps(m)]),
                Stub("what follows from this, and what comes next."),
            ),
        ),
    ]
    line = f"{study.model.name} on {study.data.name}, {m.name}"
    return Document(title_of(m.study), line, date, slides=tuple(found))


def _problem(m: Material) -> Slide:
    return Slide(
        "Which few weights would have been enough?",
        (
            Items(
                (
                    ("After training, most weights of a network can be removed at little cost.",),
                    (
                        "The lottery ticket hypothesis: the dense network holds a sparse subnetwork that, trained "
                        "alone from its own initial weights, does as well ",
                        Cite(LOTTERY),
                        ".",
                    ),
                    ("What makes it win is seen beside controls that lack one of its traits.",),
                )
            ),
            Stub("why this matters to the audience."),
        ),
    )


def _claims(m: Material) -> list[Slide]:
    claims = m.study.hypothesis
    if not claims:
        return []
    before = m.recorded is not None and not m.recorded["cells"]
    message = "What was claimed before the first training" if before else "What the study claims"
    items: list[Words] = [(each.claim,) for each in claims[:MOST]]
    if len(claims) > MOST:
        items.append((f"and {len(claims) - MOST} more",))
    return [Slide(message, (Items(tuple(items)),))]


def _data(m: Material) -> Slide:
    return Slide(f"Data: {m.study.data.name}", (methods.data(m),))


def _approach(m: Material) -> Slide:
    weights = f"{m.weights:,} prunable weights" if m.weights else "weights that could not be counted here"
    steps = next(block for block in algorithm(m) if isinstance(block, Items))
    return Slide(f"Tickets are drawn from {m.study.model.name}, {weights}", (steps,))


def _controls(m: Material) -> Slide:
    study = m.study
    names = [arm.name for arm in study.trained_arms]
    message = (
        f"Tickets beside {listed(names)}" if 0 < len(names) <= 3 else f"Tickets beside {len(names)} controls"
    )
    message = message if names else "Tickets beside the dense network alone"
    lowest = f", down to {percent(min(m.densities))}" if len(m.densities) > 1 else ""
    items: list[Words] = [
        (
            f"{study.replicates} replicate{'s' * (study.replicates > 1)}, {study.levels} levels below dense{lowest}",
        ),
        (f"{study.recipe.iterations:,} iterations in batches of {study.recipe.batch}",),
        *(
            (f"{arm.name}: {methods.meaning_in_short(arm.name, str(arm.arm))}",)
            for arm in study.trained_arms[:MOST]
        ),
    ]
    return Slide(message, (Items(tuple(items)),))


def _warned(m: Material) -> list[Slide]:
    notes = [block for block in findings.warnings(m) if isinstance(block, Note)]
    return [Slide("Before the numbers", tuple(notes[:4]))] if notes else []


def _shown(m: Material, name: str, charts: Charts) -> Slide:
    n = m.tables.replicates() if m.tables else 0
    figure = FIGURES[name]
    over = f"{n} replicate{'s' * (n > 1)}"
    return Slide(f"{figure.title} ({over})", (Drawing(name, (), charts[name].to_dict()["description"]),))


def _decided(m: Material) -> list[Slide]:
    if m.verdicts is None or not m.begun:
        return []
    found = m.verdicts.verdicts
    slides = []
    for start in range(0, len(found), MOST):
        rows = tuple(
            (
                each.hypothesis.claim,
                wording.difference(each),
                wording.DECIDED[each.decision],
            )
            for each in found[start : start + MOST]
        )
        table = Grid(("claim", "difference [95% interval]", "decision"), rows, (), left=3)
        slides.append(Slide(findings.tally(m.verdicts), (table,)))
    return slides


def _published(m: Material) -> list[Slide]:
    table = [block for block in findings.expectations_table(m) if isinstance(block, Grid)]
    blocks: tuple[Block, ...] = tuple(Grid(each.head, each.rows[:MOST], (), each.left) for each in table)
    return [Slide("Beside published numbers", blocks)] if blocks and m.begun else []
