"""Ladders beside a study's replicates, for arms that take structure from other tickets: donors and twins.

A donor has seeds of its own, and no replicate is ever one, so that replicates stay independent of each other and of how
many there are. A twin starts as its replicate does and is trained with other noise: what even it does not pass on to
the replicate's ticket, no donor can.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tombola.seeds import Seeds
from tombola.study.spec import Study

Kind = Literal["donors", "twins"]
TRAIT = {"donors": "donor", "twins": "twin"}
"""What an arm says that takes from a kind of ladder."""
TWIN = -1
"""The copy of a replicate's training that its twin is."""


def ladders_of(study: Study) -> dict[Kind, Study]:
    """The ladders that a study's arms take from, each kind as a study without arms; empty where none does."""
    found: dict[Kind, Study] = {}
    kinds: tuple[Kind, ...] = ("donors", "twins")
    for kind in kinds:
        taking = [arm for arm in study.trained_arms if TRAIT[kind] in arm.arm.traits]
        if taking:
            deepest = max(max(arm.levels or (study.levels,)) for arm in taking)
            count = study.donors if kind == "donors" else study.replicates
            bare = {"arms": (), "hypothesis": (), "expect": (), "levels": deepest, "replicates": count}
            found[kind] = study.model_copy(update=bare)
    return found


def ladder_seeds(study: Study, kind: Kind, number: int) -> Seeds:
    """The random streams of a donor, or of the twin of a replicate."""
    if kind == "donors":
        pool = ("pool", study.donor_pool) if study.donor_pool else ()
        return replace(study.seeds(number), root=(study.seed, *pool, "donor", number))
    return replace(study.seeds(number), copy=TWIN)
