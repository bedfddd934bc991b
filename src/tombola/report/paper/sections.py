"""The sections that papers and proposals share, filled in from the study."""

from __future__ import annotations

from tombola.analysis import wording
from tombola.report.paper import methods
from tombola.report.paper.bibliography import BACKGROUND, LOTTERY, works
from tombola.report.paper.document import (
    Block,
    Cite,
    Document,
    Heading,
    Items,
    Listing,
    Paragraph,
    Stub,
    Words,
    paragraph,
)
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.study.prospects import asked
from tombola.text import duration, listed, percent


def introduction(m: Material) -> list[Block]:
    """What the study is about, from its spec."""
    study = m.study
    controls = [arm.name for arm in study.trained_arms]
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
        *algorithm(m),
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
    items: list[Words] = []
    tests = asked(study, m.densities) if m.densities else []
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
        quantity = each.quantity.removeprefix("measure:").replace("_", " ")
        lost = "".join(
            f"; not asked{f' at {percent(one.wanted)}' if one.wanted else ''}: {one.why}"
            for one in tests
            if one.hypothesis is each and one.level is None
        )
        items.append(
            (
                f"{each.claim.rstrip('.')} ({each.name}: {quantity} of {a} {direction[each.direction]} that of {b}, "
                f"{where}{margin}{lost}).",
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
        Listing("\n".join(m.repeat or ["tombola run study.toml", f"tombola report {m.study.name}"])),
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
