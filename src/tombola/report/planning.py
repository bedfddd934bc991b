"""What is still to be done: what the planned tests can give, which cells are missing, how long they take."""

from __future__ import annotations

from tombola.report.blocks import Block, Items, Paragraph, Words, paragraph
from tombola.report.figures import listed
from tombola.report.material import Material
from tombola.report.tables import percent
from tombola.study import wording


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
