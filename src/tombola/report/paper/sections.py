"""The sections that papers and proposals share, filled in from the study."""

from __future__ import annotations

from collections.abc import Sequence

from tombola.analysis.verdicts import wording
from tombola.metrics import METRICS
from tombola.report.paper import methods
from tombola.report.paper.bibliography import BACKGROUND, LOTTERY, works
from tombola.report.paper.document import (
    Block,
    Cite,
    Document,
    Heading,
    Listing,
    Paragraph,
    Stub,
    bullets,
    paragraph,
)
from tombola.report.paper.material import Material
from tombola.report.paper.methods import algorithm
from tombola.study.claims import PREFIX, Hypothesis
from tombola.study.prospects import Asked, Prospect, asked
from tombola.text import counted, duration, listed, percent, ticket_first

MOST_NAMES = 6
"""Arms that a sentence names; of more it says how many they are."""


def introduction(m: Material) -> list[Block]:
    """What the study is about, from its spec."""
    study = m.study
    controls = [*(arm.name for arm in study.trained_arms), *(arm.name for arm in study.trained_routes)]
    beside = f", beside {listed(controls)} as controls" if controls else ""
    if len(controls) > MOST_NAMES:
        beside = f", beside {len(controls)} other arms"
    densest = f", down to {percent(min(m.densities))} of the weights" if len(m.densities) > 1 else ""
    levels = f"at {counted(study.levels, 'level')} of pruning{densest}" if study.levels else "without pruning"
    where = f"{study.model.name} on {study.data.name} {levels}{beside}, in {counted(study.replicates, 'replicate')}"
    return [
        Heading("Introduction"),
        paragraph(
            "After training, most weights of a neural network can be removed at little cost. The lottery ticket "
            "hypothesis says more: that a dense network holds sparse subnetworks, winning tickets, which could have "
            f"been trained alone, from their own initial weights, to the same {METRICS[study.recipe.metric].noun} ",
            Cite(LOTTERY),
            f". This study draws tickets of {where}.",
        ),
        Stub("why the question matters and to whom, what is known, and what this study adds."),
    ]


def problem(m: Material) -> list[Block]:
    """The task, with what was claimed beforehand, and the algorithm."""
    metric = METRICS[m.study.recipe.metric]
    goal = f"at least the test {metric.noun}" if metric.more_is_better else f"at most the test {metric.noun}"
    return [
        Heading("Problem definition and algorithm"),
        Heading("Task", 2),
        paragraph(
            "Given a network with weights θ and training data, find a mask m that keeps few weights, such that the "
            f"network of the weights m ⊙ θ, trained alone, reaches {goal} of the dense network in "
            "at most as many iterations. Such a subnetwork is a winning ticket. What makes it one is seen beside "
            "controls, which share some of its traits and lack others.",
        ),
        *claims(m),
        Heading("Algorithm", 2),
        *algorithm(m),
    ]


def claims(m: Material) -> list[Block]:
    """The hypotheses, and when they were recorded."""
    if not m.study.hypothesis:
        return [paragraph("The study states no hypotheses.")]
    if m.begun and m.verdicts and m.verdicts.verdicts:
        return [paragraph(_counted_claims(m))]
    said, recorded = "The study claims the following", m.recorded
    if recorded is not None:
        day, cells = f"recorded on {recorded['recorded'][:10]}", recorded["cells"]
        said = (
            f"{said}, as {day} after {cells} cells were done"
            if cells
            else f"The following was claimed, and {day} before the first cell"
        )
        said += f" (digest {recorded['digest']})"
    tests = asked(m.study, m.densities) if m.densities else []
    items = (
        _claim(each, [one for one in tests if one.hypothesis is each and one.level is None])
        for each in m.study.hypothesis
    )
    return [paragraph(f"{said}:"), bullets(items)]


def _counted_claims(m: Material) -> str:
    """How many claims there are and when they were recorded, where tables have them with their decisions."""
    families = list(dict.fromkeys(each.family for each in m.study.hypothesis))
    which = (
        f" in {len(families)} families, {listed(f'‘{name}’' for name in families)}" if families[1:] else ""
    )
    said = f"The study makes {counted(len(m.study.hypothesis), 'claim')}{which}"
    if m.recorded is not None:
        cells = m.recorded["cells"]
        when = f"after {cells} cells were done" if cells else "before the first cell"
        said += f", recorded on {m.recorded['recorded'][:10]} {when} (digest {m.recorded['digest']})"
    return f"{said}. They are listed with their decisions among the results."


def _claim(each: Hypothesis, lost: Sequence[Asked]) -> str:
    """A hypothesis with what it compares and where; `lost` are its places that cannot be asked."""
    where = f"at {listed(map(percent, each.densities))}" if each.densities else "at every level"
    quantity = each.quantity.removeprefix(PREFIX).replace("_", " ")
    needs = f", if {listed(each.needs)} came out" if each.needs else ""
    missing = "".join(f"; not asked{_at(one.wanted)}: {one.why}" for one in lost)
    return f"{each.claim.rstrip('.')} ({each.name}: {quantity} {wording.asked_of(each)}, {where}{needs}{missing})."


def _at(density: float | None) -> str:
    return f" at {percent(density)}" if density else ""


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
    version, commit = m.environment.get("versions", {}).get("tombola"), m.environment.get("commit")
    run = f"was run with Tombola{f' {version}' if version else ''}{f', commit {commit}' if commit else ''}"
    data = m.environment.get("record", {}).get("data")
    digest = f" The data have digest {data}." if data else ""
    said = (
        f"The study {run if m.environment else 'runs with Tombola'}. The file in the appendix holds all that decides "
        f"its bits.{digest} To repeat it:"
    )
    return [
        Heading("Code and data set"),
        paragraph(said),
        Listing("\n".join(m.repeat or ["tombola run study.toml", f"tombola report {m.study.name}"])),
        Stub("where the code, the data and the run folder can be had."),
    ]


def prospects(m: Material) -> list[Block]:
    """What the tests can give with the replicates that are planned."""
    if not m.prospects:
        return []
    count = counted(m.study.replicates, "replicate")
    return [
        paragraph(f"With {count} the tests can give the following."),
        bullets(map(_prospect, m.prospects)),
    ]


def _prospect(each: Prospect) -> str:
    place, claim = each.asked, each.asked.hypothesis
    said = f"{claim.name}{_at(place.wanted if place.density is None else place.density)}: "
    if place.level is None:
        return f"{said}cannot be tested, {place.why}."
    said += claim.test
    if claim.test == "sign-flip":
        said += f", smallest possible p {wording.small(each.p_smallest)}, {wording.small(each.p_holm)} as corrected"
    takes = f"it takes {each.n_needed} replicates" if each.n_needed else "more replicates alone do not help"
    return f"{said}." if each.resolvable else f"{said}; cannot be resolved, {takes}."


def next_steps(m: Material) -> Paragraph:
    """What is still to be trained, and for how long."""
    if m.finished:
        return paragraph("Every cell of the study is done.")
    arms = listed(sorted({cell.arm for cell in m.undone}, key=ticket_first))
    levels = sorted({cell.level for cell in m.undone})
    span = f"level {levels[0]}" if len(levels) == 1 else f"levels {levels[0]} to {levels[-1]}"
    many, one = len({cell.replicate for cell in m.undone}), len(m.undone) == 1
    said = (
        f"{counted(len(m.undone), 'cell')} {'is' if one else 'are'} still to be trained: {arms}, {span}, in {many} of "
        f"{counted(m.study.replicates, 'replicate')}."
    )
    if m.seconds is not None:
        by = "at the speed of those that are done" if m.begun else "by a short probe of this machine"
        said += f" This takes about {duration(m.seconds)}, {by}."
    elif m.unknown:
        said += f" How long it takes is not known here: {m.unknown}."
    return paragraph(said)
