"""The paper and the proposal of a study: sections filled in from what is known, and stubs for what only a person can
say."""

from __future__ import annotations

from collections.abc import Mapping

from tombola.report import findings, methods
from tombola.report.bibliography import BACKGROUND, LOTTERY, works
from tombola.report.blocks import (
    Appendix,
    Block,
    Cite,
    Document,
    Drawing,
    Heading,
    Items,
    Listing,
    Note,
    Paragraph,
    References,
    Stub,
    Words,
    paragraph,
)
from tombola.report.figures import FIGURES, Picture, listed
from tombola.report.material import Material
from tombola.report.tables import percent
from tombola.study import wording

MAIN = ("accuracy-early-stop", "early-stop", "accuracy-final", "gap", "learning-curves")
"""Figures that stand with the results; others are in the appendix."""
WIDE = 160.0
"""Millimetres of a text line, and so of a figure that takes it whole."""
HALF = 76.0
"""Millimetres of a figure that stands beside another."""
HALVES = MAIN[:4]

Charts = Mapping[str, Picture]
"""The figures that could be drawn, by name."""


def paper(m: Material, charts: Charts, date: str) -> Document:
    """The paper of a run, finished or not."""
    blocks: list[Block] = [
        *introduction(m),
        *problem(m),
        Heading("Experimental evaluation"),
        Heading("Methodology", 2),
        *methodology(m),
        Heading("Results", 2),
        *results(m, charts),
        Heading("Discussion", 2),
        findings.discussion(m),
        Stub("what the results mean, what else could explain them, and what the numbers do not reach."),
    ]
    end: list[Block] = [
        *code(m),
        Heading("Conclusion"),
        findings.conclusion(m),
        Stub("what a reader should take away, and what should be done next."),
    ]
    blocks += [*related(blocks + end), *end, References(), *appendix(m, charts)]
    return Document(title_of(m), f"A study with Tombola, run {m.name}", date, tuple(blocks))


def proposal(m: Material, charts: Charts, date: str) -> Document:
    """The proposal of a study that is unfinished or not begun."""
    begun = m.begun
    blocks: list[Block] = [
        *introduction(m),
        *problem(m),
        Heading("Planned evaluation"),
        Heading("Methodology", 2),
        *methodology(m),
        *prospects(m),
        Heading("Preliminary results"),
        *(
            [Note("What is here may change: the study is not finished.")] * bool(m.undone)
            if begun
            else [paragraph("None: the study was not begun.")]
        ),
        *(results(m, charts) if begun else []),
        Heading("Next steps"),
        next_steps(m),
        Stub("what is to be done with the results, and what would be done if they came out otherwise."),
    ]
    end: list[Block] = [
        Heading("Roles and timeline"),
        Stub("who does what."),
        Stub("when: milestones, and what will be there at each."),
        *code(m),
    ]
    blocks += [*related(blocks + end), *end, References(), *appendix(m, charts)]
    return Document(f"Proposal: {title_of(m)}", f"A study with Tombola, {m.name}", date, tuple(blocks))


def title_of(m: Material) -> str:
    """The study's title, else its name."""
    return m.study.title or m.study.name


def introduction(m: Material) -> list[Block]:
    """What the study is about, from its spec."""
    study = m.study
    controls = [arm.name for arm in study.arms]
    beside = f", beside {listed(controls)} as controls" if controls else ""
    densest = f", down to {percent(min(m.densities))} of the weights" if len(m.densities) > 1 else ""
    ladder = (
        f"at {study.levels} level{'s' * (study.levels != 1)} of pruning{densest}"
        if study.levels
        else "without pruning"
    )
    count = f"{study.replicates} replicate{'s' * (study.replicates > 1)}"
    return [
        Heading("Introduction"),
        paragraph(
            "After training, most weights of a neural network can be removed at little cost. The lottery ticket "
            "hypothesis says more: that a dense network holds sparse subnetworks, winning tickets, which could have "
            "been trained alone, from their own initial weights, to the same accuracy ",
            Cite(LOTTERY),
            f". This study draws tickets of {study.model.name} on {study.data.name} {ladder}{beside}, in {count}.",
        ),
        Stub("why the question matters and to whom, what is known, and what this study adds."),
    ]


def problem(m: Material) -> list[Block]:
    """The task, with what was claimed beforehand, and the algorithm."""
    return [
        Heading("Problem definition and algorithm"),
        Heading("Task", 2),
        paragraph(
            "Given a network with weights θ and training data, find a mask m that keeps few weights, such that the "
            "network of the weights m ⊙ θ, trained alone, reaches at least the test accuracy of the dense network in "
            "at most as many iterations. Such a subnetwork is a winning ticket. What makes it one is seen beside "
            "controls, which share some of its traits and lack others.",
        ),
        *claims(m),
        Heading("Algorithm", 2),
        *methods.algorithm(m),
    ]


def claims(m: Material) -> list[Block]:
    """The hypotheses, and when they were recorded."""
    study = m.study
    if not study.hypothesis:
        return [paragraph("The study states no hypotheses.")]
    recorded = m.recorded
    if recorded is None:
        when = "The study claims the following"
    elif recorded["cells"]:
        when = (
            f"The study claims the following, as recorded on {recorded['recorded'][:10]} after {recorded['cells']} "
            "cells were done"
        )
    else:
        when = f"The following was claimed, and recorded on {recorded['recorded'][:10]} before the first cell"
    digest = f" (digest {recorded['digest']})" if recorded else ""
    items = []
    for each in study.hypothesis:
        a, b = each.arms
        where = (
            f"at {listed(percent(density) for density in each.densities)}"
            if each.densities
            else "at every level"
        )
        direction = {
            "greater": "above",
            "less": "below",
            "different": "different from",
            "same": "the same as",
        }
        margin = f", margin {wording.amount(each.quantity, each.margin)}" if each.margin else ""
        quantity = each.quantity.replace("_", " ")
        items.append(
            (
                f"{each.claim.rstrip('.')} ({each.name}: {quantity} of {a} {direction[each.direction]} that of {b}, "
                f"{where}{margin}).",
            )
        )
    return [paragraph(f"{when}{digest}:"), Items(tuple(items))]


def methodology(m: Material) -> list[Block]:
    """Network, data, training, ladder, arms, statistics, machine."""
    return [
        *methods.network(m),
        methods.data(m),
        methods.training(m),
        methods.ladder(m),
        *methods.arms(m),
        methods.statistics(m),
        methods.machine(m),
    ]


def results(m: Material, charts: Charts) -> list[Block]:
    """Numbers, figures and decisions."""
    blocks: list[Block] = [*findings.warnings(m)]
    if not m.begun:
        return [*blocks, paragraph("No cell is done yet, so there are no results.")]
    blocks += findings.levels_in_words(m)
    blocks += findings.level_table(m, findings.main_levels(m))
    blocks += [drawing(m, name, charts) for name in MAIN if name in charts]
    absent = [f"{FIGURES[name].title.lower()}" for name in MAIN if name not in charts]
    if absent:
        blocks.append(paragraph(f"Not drawn, since the run does not hold what they show: {listed(absent)}."))
    return [
        *blocks,
        *findings.verdicts_in_words(m),
        *findings.expectations_table(m),
        *findings.decisions_table(m),
    ]


def drawing(m: Material, name: str, charts: Charts) -> Drawing:
    """A figure with its caption, which says over how many replicates its means are."""
    figure, n = FIGURES[name], m.tables.replicates() if m.tables else 0
    reading = (
        figure.reading if n > 1 else figure.reading.replace("the band is their 95% t-interval", "no interval")
    )
    over = f"n = {n} replicate{'s' * (n > 1)}"
    caption = f"{figure.title} ({over}). {reading}"
    return Drawing(name, (caption,), charts[name].to_dict()["description"], name in HALVES)


def related(blocks: list[Block]) -> list[Block]:
    """A sentence on each work that the text cites, and on those that every such study stands beside."""
    cited = Document("", "", "", tuple(blocks)).works()
    known = works()
    parts: list[str | Cite] = []
    for key in dict.fromkeys((*BACKGROUND, *cited)):
        parts += [f"{known[key].names} ", Cite(key), f" {known[key].finding}. "]
    return [
        Heading("Related work"),
        Paragraph(tuple(parts)),
        Stub("how this study differs from these works, and which others belong here."),
    ]


def code(m: Material) -> list[Block]:
    """How to repeat the study."""
    environment = m.environment
    version = environment.get("versions", {}).get("tombola")
    commit = environment.get("commit")
    made = f"The study was run with Tombola{' ' + version if version else ''}" + (
        f", commit {commit}" if commit else ""
    )
    data = environment.get("record", {}).get("data")
    digest = f" The data have digest {data}." if data else ""
    said: Words = (
        (f"{made}. " if environment else "The study runs with Tombola. ")
        + f"The file in the appendix holds all that decides its bits.{digest} To repeat it:",
    )
    return [
        Heading("Code and data set"),
        Paragraph(said),
        Listing("tombola run study.toml\ntombola report " + m.study.name),
        Stub("where the code, the data and the run folder can be had."),
    ]


def prospects(m: Material) -> list[Block]:
    """What the tests can give with the replicates that are planned."""
    if not m.prospects:
        return []
    items: list[Words] = []
    for each in m.prospects:
        asked, claim = each.asked, each.asked.hypothesis
        place = asked.density if asked.density is not None else asked.wanted
        where = f" at {percent(place)}" if place else ""
        if asked.level is None:
            items.append((f"{claim.name}{where}: cannot be tested, {asked.why}.",))
            continue
        said = f"{claim.name}{where}: {claim.test}"
        if claim.test == "sign-flip":
            said += f", smallest possible p {wording.small(each.p_smallest)}, {wording.small(each.p_holm)} as corrected"
        if not each.resolvable:
            needed = (
                f"it takes {each.n_needed} replicates"
                if each.n_needed
                else "more replicates alone do not help"
            )
            said += f"; cannot be resolved, {needed}"
        items.append((f"{said}.",))
    count = f"{m.study.replicates} replicate{'s' * (m.study.replicates > 1)}"
    return [paragraph(f"With {count} the tests can give the following."), Items(tuple(items))]


def next_steps(m: Material) -> Paragraph:
    """What is still to be trained, and for how long."""
    if m.finished:
        return paragraph("Every cell of the study is done.")
    cells = len(m.undone)
    arms = listed(
        dict.fromkeys(sorted((cell.arm for cell in m.undone), key=lambda arm: (arm != "ticket", arm)))
    )
    levels = sorted({cell.level for cell in m.undone})
    span = f"level {levels[0]}" if len(levels) == 1 else f"levels {levels[0]} to {levels[-1]}"
    total = m.study.replicates
    many = len({cell.replicate for cell in m.undone})
    said = (
        f"{cells:,} cell{'s' * (cells > 1)} {'is' if cells == 1 else 'are'} still to be trained: {arms}, {span}, in "
        f"{many} of {total} replicate{'s' * (total > 1)}."
    )
    if m.seconds is not None:
        by = "at the speed of those that are done" if m.begun else "by a short probe of this machine"
        said += f" This takes about {duration(m.seconds)}, {by}."
    elif m.unknown:
        said += f" How long it takes is not known here: {m.unknown}."
    return paragraph(said)


def duration(seconds: float) -> str:
    """A time as people write it: 45 s, 3 min, 2 h 5 min."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def appendix(m: Material, charts: Charts) -> list[Block]:
    """All levels, further figures, and the study file."""
    more = [drawing(m, name, charts) for name in charts if name not in MAIN]
    table = findings.level_table(m)
    return [
        Appendix(),
        *([Heading("All levels"), *table] if table else []),
        *([Heading("Further figures"), *more] if more else []),
        Heading("The study file"),
        Listing(m.study.to_toml()),
    ]
