"""The talk: problem, data, approach and results, next steps; one message a slide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import by_family, families, sentences, tally
from tombola.analysis.verdicts.verdict import Verdict
from tombola.report.figures.answers import unit
from tombola.report.figures.base import Picture, left_out
from tombola.report.figures.forest import forest
from tombola.report.paper import findings, methods, structure
from tombola.report.paper.bibliography import referring
from tombola.report.paper.document import (
    Block,
    Document,
    Drawing,
    Grid,
    Items,
    Paragraph,
    References,
    Slide,
    Stub,
    bullets,
    paragraph,
)
from tombola.report.paper.headlines import headline
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.report.paper.paper import Charts
from tombola.report.paper.sections import next_steps
from tombola.report.tables import NothingToDrawError
from tombola.stats.intervals import FEWEST
from tombola.study.title import title_of
from tombola.text import counted, listed, percent

ANSWERED = ("gap", "overlap", "sign-agreement")
"""Those of them that the pictures of a study's answers take the place of."""
SHOWN = ("accuracy-early-stop", "arms", "early-stop", "gap", "overlap", "sign-agreement", "input-map")
"""Figures that get a slide each, where they could be drawn."""
MOST = 5
"""Claims a slide."""
ROWS = 8
"""Short rows a slide."""


def slides(m: Material, charts: Charts, date: str) -> Document:
    """The talk on a run, finished or not, or on a study that was not begun."""
    study = m.study
    notes = tuple(findings.warnings(m)[:4])
    first = notes if not m.finished or (m.tables and m.tables.replicates() < FEWEST) else ()
    nothing = paragraph("No cell of the study is done.")
    answered = _answers(m, charts)
    shown = [name for name in SHOWN if name in charts and not (answered and name in ANSWERED)]
    found = [
        _problem(),
        *([] if answered else _claims(m)),
        _setup(m),
        _controls(m),
        *([Slide("Before the numbers", first)] if first else []),
        *answered,
        *(_shown(m, name, charts) for name in shown),
        *(
            [*([] if answered else _structure(m)), *_decided(m, charts), *_published(m)]
            if m.begun
            else [Slide("There are no results yet", (nothing,))]
        ),
        Slide(
            "What holds this back, and what comes next",
            (
                *(() if first else notes),
                *([] if m.finished else [next_steps(m)]),
                Stub("what follows from this, and what comes next."),
            ),
        ),
    ]
    line = f"{study.model.name} on {study.data.name}, {m.name}"
    talk = Document(title_of(study), line, date, slides=tuple(found))
    if not talk.works():
        return talk
    *front, last = found
    return replace(talk, slides=(*front, replace(last, blocks=(*last.blocks, References()))))


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
    said = [each.claim for each in m.study.hypothesis]
    if not said:
        return []
    before = m.recorded is not None and not m.recorded["cells"]
    message = "What was claimed before the first training" if before else "What the study claims"
    more = [f"and {len(said) - MOST} more"] if len(said) > MOST else []
    return [Slide(message, (bullets(said[:MOST] + more),))]


def _setup(m: Material) -> Slide:
    """Data, network and steps on one slide."""
    weights = f"{m.weights:,} prunable weights" if m.weights else "weights that could not be counted here"
    steps = next(block for block in algorithm(m) if isinstance(block, Items))
    message = f"Tickets are drawn from {m.study.model.name}, {weights}, on {m.study.data.name}"
    return Slide(message, (steps, methods.data(m)))


def _controls(m: Material) -> Slide:
    study = m.study
    arms = {arm.name: methods.meaning_in_short(arm.name, str(arm.arm)) for arm in study.trained_arms}
    arms |= {arm.name: str(arm) for arm in study.trained_routes}
    kind = "arms" if study.trained_routes else "controls"
    beside = listed(arms) if len(arms) <= 3 else f"{len(arms)} {kind}"
    lowest = f", down to {percent(min(m.densities))}" if len(m.densities) > 1 else ""
    said = [
        f"{counted(study.replicates, 'replicate')}, {study.levels} levels below dense{lowest}",
        f"{study.recipe.iterations:,} iterations in batches of {study.recipe.batch}",
        *(f"{name}: {meaning}" for name, meaning in list(arms.items())[:MOST]),
    ]
    return Slide(f"Tickets beside {beside or 'the dense network alone'}", (bullets(said),))


def _answers(m: Material, charts: Charts) -> list[Slide]:
    """A slide for each question with its verdict, the picture, and the sentence."""
    found = []
    for each in sentences(m.verdicts.verdicts) if m.verdicts else ():
        name = f"answer-{each.question}"
        picture = [_drawn(name, charts)] if name in charts else []
        # The picture has the other densities and the layers.
        said = Items(((each.said,),), small=True)
        found.append(Slide(f"{each.asked} {each.word[:1].upper()}{each.word[1:]}.", (*picture, said)))
    return found


def _shown(m: Material, name: str, charts: Charts) -> Slide:
    assert m.tables is not None
    over = counted(m.tables.replicates(), "replicate")
    said = left_out(charts[name])
    beside = [Items(((said,),), small=True)] if said else []
    return Slide(f"{headline(name, m.tables, charts[name])} (n = {over})", (_drawn(name, charts), *beside))


def _drawn(name: str, charts: Charts) -> Drawing:
    return Drawing(name, (), charts[name].to_dict()["description"])


def _structure(m: Material) -> list[Slide]:
    """Overlap of tickets less that of controls, layer by layer, with what it says as the title."""
    blocks = structure.decisions_table(m)
    if not blocks:
        return []
    reading, table = blocks
    assert isinstance(table, Grid)
    assert isinstance(reading, Paragraph)
    rows = [row[1:5] + row[-1:] for row in table.rows if row[0] == "jaccard"]
    head = ("density", "against", "layer", "overlap less control's [95% interval]", "more alike?")
    grids = [Grid(head, tuple(part), (), left=3) for part in _even(rows, ROWS)]
    return [Slide(str(reading.words[0]).partition(". ")[0], (each,)) for each in grids[:2]]


def forests(m: Material) -> dict[str, Picture]:
    """Name -> the picture of each family that has more claims without a slide of their own than fit in a table, all in
    one unit."""
    found: dict[str, Picture] = {}
    for index, family in enumerate(_open(m)):
        if len(family) > MOST and len({unit(each) for each in family}) == 1:
            with suppress(NothingToDrawError):
                found[f"claims-{index}"] = forest(family)
    return found


def _open(m: Material) -> list[list[Verdict]]:
    """The claims by family that answer no question, and so have no slide of their own."""
    return families([each for each in m.verdicts.verdicts if not each.answers]) if m.verdicts else []


def _decided(m: Material, charts: Charts) -> list[Slide]:
    """A slide for each family that is drawn; of the others the claims evenly on slides."""
    found, rest, every = list[Slide](), list[Verdict](), _open(m)
    for index, family in enumerate(every):
        name = f"claims-{index}"
        if name in charts:
            said = by_family(family) if len(every) > 1 else tally(family)
            found.append(Slide(said, (_drawn(name, charts),)))
        else:
            rest += family
    return found + _tables(m, rest)


def _tables(m: Material, verdicts: Sequence[Verdict]) -> list[Slide]:
    """Claims evenly on slides, with how they came out as the title; the matching level with the last."""
    if m.verdicts is None:
        return []
    rows = [(each.claim, wording.difference(each), wording.decided(each)) for each in verdicts]
    head = ("claim", "difference [95% interval]", "decision")
    tables: list[list[Block]] = [[Grid(head, tuple(part), (), left=3)] for part in _even(rows, MOST)]
    if tables and m.study.levels and len(rows) <= MOST:
        tables[-1].append(paragraph(f"{wording.match(m.verdicts.matching)}."))
    return [Slide(tally(verdicts), tuple(blocks)) for blocks in tables]


def _even(rows: Sequence[tuple[str, ...]], most: int) -> list[Sequence[tuple[str, ...]]]:
    """The rows in as few parts of at most so many as there must be, of equal length but for one."""
    parts = -(-len(rows) // most)
    ends = [round(i * len(rows) / parts) for i in range(parts + 1)] if parts else []
    return [rows[start:end] for start, end in pairwise(ends)]


def _published(m: Material) -> list[Slide]:
    tables = [block for block in findings.expectations_table(m) if isinstance(block, Grid)]
    short = tuple(replace(table, rows=table.rows[:MOST], caption=()) for table in tables)
    return [Slide("Beside published numbers", short)] if short else []
