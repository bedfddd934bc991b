"""What a cell of a study needs before it can be trained: the edges between its units of work.

Cells of one replicate and level need each other in one way only: where a ticket starts from weights of its own (those
that it was pruned from), they are stored with the ticket, and others that start from them refer to that file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.lottery.draw import partner_of
from tombola.lottery.modes import drawn_levels
from tombola.study.ladders import TRAIT, SourceStudy, called
from tombola.study.routes import DONORS
from tombola.study.spec import Study

Part = str
"""What ladders beside a run are called (`study/ladders.py`); "" is the run itself."""


def drawn_together(study: Study) -> list[list[Cell]]:
    """The cells of a study in groups that are drawn at once, in the order of training: those of a level, and before
    them the searches for its masks."""
    groups: dict[tuple[int, bool], list[Cell]] = {}
    for cell in study.cells():
        groups.setdefault((cell.level, cell.arm != study.search_arm), []).append(cell)
    return [groups[key] for key in sorted(groups)]


def kin(study: Study, replicates: Collection[int]) -> frozenset[int]:
    """The replicates, and those that their arms take masks from: partners."""
    swaps = any("partner" in arm.arm.traits for arm in study.arms)
    return frozenset({*replicates, *(partner_of(r) for r in replicates if swaps)})


def needs(study: Study, cell: Cell, beside: Mapping[str, Study]) -> Iterator[tuple[Part, Cell]]:
    """The cells that have to be stored, or never to come, before this one can be trained. `beside` are the studies of
    the ladders that arms take from; "" is where the cell itself lies, be that the run or such ladders.

    Of the levels below only the last is named, as that needs those below it: all the cells there that a climb goes on
    from, the ticket and each draw of an arm that has its own ladder.
    """
    level = cell.level
    if not level:
        return
    for r in kin(study, [cell.replicate]):
        yield from (("", below) for below in _sources(study, r, _below(study, level)))
        if study.search_arm and cell.arm != study.search_arm:
            yield "", Cell(r, level, study.search_arm, 0)
    if cell.arm in (TICKET, study.search_arm):
        return
    if not study.treatments[TICKET].rewinds:
        yield "", Cell(cell.replicate, level, TICKET, 0)
    for kind in _takes_from(study, cell.arm) & beside.keys():
        lending = beside[kind]
        numbers = range(lending.replicates) if kind == DONORS else [cell.replicate % lending.replicates]
        yield from ((kind, Cell(number, min(level, lending.levels), TICKET, 0)) for number in numbers)


def _below(study: Study, level: int) -> int:
    """The last level below one that is drawn at all."""
    asked = study.asked if isinstance(study, SourceStudy) else None
    return drawn_levels(study.pruning.mode, level - 1, asked)[-1]


def _takes_from(study: Study, arm: str) -> set[Part]:
    """The ladders that an arm takes from: all donors and twins, where it takes from either, as both are lent at once;
    those of its sources where it is a route's."""
    route = next((each for each in study.trained_routes if each.name == arm), None)
    lent = set(TRAIT)
    if route:
        return {called(source) for source in route.sources} | (lent if DONORS in route.sources else set())
    return lent if study.treatments[arm].traits & set(TRAIT.values()) else set()


def _sources(study: Study, replicate: int, level: int) -> Iterator[Cell]:
    """The cells of a level that the next one goes on from."""
    arms = {TICKET: 1, **dict(study.arms_at(level) if level else ())}
    for name, draws in arms.items():
        if name in study.source_arms:
            yield from (Cell(replicate, level, name, draw) for draw in range(draws))
