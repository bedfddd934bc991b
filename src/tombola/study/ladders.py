"""Ladders beside a study's replicates, for arms that take from other tickets: donors, twins, sources of routes.

A donor has seeds of its own, and no replicate is ever one, so that replicates stay independent of each other and of how
many there are. A twin starts as its replicate does and is trained with other noise: what even it does not pass on to
the replicate's ticket, no donor can. A source is a ladder on another model, other data or by another pruning, with the
seeds of the replicate that takes from it, and trained no further than its routes ask (`SourceStudy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import PrivateAttr

from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.lottery.modes import FROM_BELOW, drawn_levels
from tombola.seeds import Seeds
from tombola.study.routes import DONORS, RouteArm, taking_from
from tombola.study.spec import Study
from tombola.text import listed
from tombola.training.search.bird import EARLY_BIRD, seen_from

TWINS = "twins"
TRAIT = {DONORS: "donor", TWINS: "twin"}
"""What an arm says that takes from a kind of ladder."""
TWIN = -1
"""The copy of a replicate's training that its twin is."""
SOURCES = "sources"


class SourceStudy(Study):
    """A source as its routes ask for it: a study without arms, as deep as they go.

    Where no route looks at the weights that its tickets were trained to, these are taken as they start: then a training
    that no mask is made from is left out, and one that is watched for masks ends where these stand still. Masks and
    starts have the same bits. None of this decides what a source is, so it is no part of its identity.
    """

    _asked: frozenset[int] | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, source: Study, arms: Sequence[RouteArm]) -> SourceStudy:
        """The source that these arms take from."""
        levels = {level for arm in arms for level in arm.levels or range(1, source.levels + 1)}
        found = cls.model_construct(source.model_fields_set, **dict(source))
        found = found.model_copy(update={"levels": max(levels)})
        found._asked = None if any(arm.reads_end for arm in arms) else frozenset(levels)
        return found

    @property
    def asked(self) -> frozenset[int] | None:
        """The levels whose tickets are taken as they start; None where trained weights are asked for."""
        return self._asked

    def cells(self) -> list[Cell]:
        """Every cell that has to be drawn, in the order of training."""
        drawn = drawn_levels(self.pruning.mode, self.levels, self.asked)
        return [cell for cell in super().cells() if cell.level in drawn]

    @property
    def told(self) -> str:
        """What is not trained, in words; empty where everything is."""
        cells = [cell for cell in super().cells() if cell.replicate == 0]
        idle = [cell.level for cell in cells if cell.arm == TICKET and not steps_at_most(self, cell)]
        said = [f"level{'s' if len(idle) > 1 else ''} {listed(map(str, idle))} not trained"] if idle else []
        if any(ends_when_still(self, cell) for cell in cells):
            early = self.pruning.mode == EARLY_BIRD
            said.append(f"{'dense trainings' if early else 'trainings'} end where the masks stand still")
        return f"masks alone are taken: {', '.join(said)}" if said else ""


def goes_to(study: Study, cell: Cell) -> int:
    """The iteration that a cell's training goes to at the latest: that where it begins, if it is not trained."""
    whole = study.recipe_at(cell.level).iterations
    if not isinstance(study, SourceStudy) or study.asked is None or cell.arm == study.search_arm:
        return whole
    if study.pruning.mode in FROM_BELOW:
        return whole if cell.level < study.levels else study.first_iteration(cell)
    if cell.level:
        return study.first_iteration(cell)
    return whole if study.pruning.mode in ("one-shot", EARLY_BIRD) else study.pruning.rewind


def steps_at_most(study: Study, cell: Cell) -> int:
    """Optimizer steps that a cell takes at the most."""
    return goes_to(study, cell) - study.first_iteration(cell)


def ends_when_still(study: Study, cell: Cell) -> bool:
    """Whether a cell's training ends where the masks that are made of it stand still."""
    if not isinstance(study, SourceStudy) or study.asked is None or cell.arm != TICKET:
        return False
    return bool(seen_from(study.pruning.mode, cell.level, study.levels))


def ladders_of(study: Study) -> dict[str, Study]:
    """The ladders that a study's arms take from, by what they are called: `donors`, `twins`, `sources/NAME`; each as a
    study without arms. Empty where none does."""
    bare: dict[str, Any] = {"arms": (), "route": (), "sources": {}, "hypothesis": (), "expect": ()}
    found: dict[str, Study] = {}
    for kind, trait in TRAIT.items():
        listed = [arm.levels for arm in study.trained_arms if trait in arm.arm.traits]
        listed += [arm.levels for arm in taking_from(study.trained_routes, kind)]
        if listed:
            count = study.donors if kind == DONORS else study.replicates
            changed = {**bare, "levels": _deepest(study, listed), "replicates": count}
            found[kind] = study.model_copy(update=changed)
    for name in study.sources:
        if taking := taking_from(study.trained_routes, name):
            found[called(name)] = SourceStudy.of(study.source(name), taking)
    return found


def called(source: str) -> str:
    """What the ladders of a source are called, which is also where they lie in the run's folder."""
    return f"{SOURCES}/{source}"


def ladder_seeds(study: Study, kind: str, number: int) -> Seeds:
    """The random streams of a donor, of the twin of a replicate, or of a source, which are those of a replicate."""
    if kind == DONORS:
        pool = ("pool", study.donor_pool) if study.donor_pool else ()
        return replace(study.seeds(number), root=(study.seed, *pool, "donor", number))
    return replace(study.seeds(number), copy=TWIN) if kind == TWINS else study.seeds(number)


def _deepest(study: Study, listed: list[tuple[int, ...] | None]) -> int:
    return max(max(levels or (study.levels,)) for levels in listed)
