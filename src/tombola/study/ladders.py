"""Ladders beside a study's replicates, for arms that take from other tickets: donors, twins, sources of routes.

A donor has seeds of its own, and no replicate is ever one, so that replicates stay independent of each other and of how
many there are. A twin starts as its replicate does and is trained with other noise: what even it does not pass on to
the replicate's ticket, no donor can. A source is a ladder on another model, other data or by another pruning, with the
seeds of the replicate that takes from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tombola.seeds import Seeds
from tombola.study.routes import DONORS, taking_from
from tombola.study.spec import Study

TWINS = "twins"
TRAIT = {DONORS: "donor", TWINS: "twin"}
"""What an arm says that takes from a kind of ladder."""
TWIN = -1
"""The copy of a replicate's training that its twin is."""
SOURCES = "sources"


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
            deepest = _deepest(study, [arm.levels for arm in taking])
            found[called(name)] = study.source(name).model_copy(update={"levels": deepest})
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
