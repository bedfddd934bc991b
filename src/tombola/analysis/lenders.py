"""Whose ladders the arms of a study take from, and where several replicates take from the same ones."""

from __future__ import annotations

from collections.abc import Iterable

from tombola.study.ladders import called, ladders_of
from tombola.study.routes import DONORS, OWN, RouteArm
from tombola.study.spec import Study
from tombola.text import counted, listed
from tombola.transfer.taking import Took, takes


def taken_by(study: Study, arm: str) -> frozenset[Took]:
    """What an arm takes of the replicate's own ladder, of the donors and of the twin; nothing, where it is no arm of
    the study's own (`dense`, a search)."""
    route = _route(study, arm)
    if route is None:
        fixed = study.pruning.allocation != "global"
        return takes(study.treatments[arm], fixed) if arm in study.treatments else frozenset()
    found = {Took.LADDER} if OWN in route.sources else set()
    if DONORS in route.sources:
        several = route.several
        found |= {Took.DONORS if several else Took.DONOR} | ({Took.DENSE} if route.aligned else set())
    if route.start == "own" and not found & {Took.LADDER, Took.DENSE}:
        found.add(Took.START)
    return frozenset(found)


def sources_of(study: Study, arm: str) -> list[str]:
    """The sources that an arm takes from beside the replicate's own ladder and donors, as their ladders are called."""
    route = _route(study, arm)
    return [called(each) for each in route.sources if each not in (OWN, DONORS)] if route else []


def shared_lenders(study: Study, arms: Iterable[str]) -> str:
    """The lenders that several replicates of these arms take from, in words: '8 donors', '2 ladders of fashion'; ''
    where each replicate has its own.

    Replicates are not independent in what they take from one lender, so what is decided over them holds for these
    lenders, not for lenders in general. An arm that goes by the votes of donors takes from all of them.
    """
    ladders, found = ladders_of(study), dict[str, int]()
    for arm in arms:
        took = taken_by(study, arm)
        for kind in [*([DONORS] if took & {Took.DONOR, Took.DONORS} else []), *sources_of(study, arm)]:
            count = ladders[kind].replicates if kind in ladders else study.replicates
            if count < study.replicates or (Took.DONORS in took and kind == DONORS):
                found[kind] = count
    return listed(_words(kind, count) for kind, count in found.items())


def _route(study: Study, arm: str) -> RouteArm | None:
    return next((each for each in study.route_arms if each.name == arm), None)


def _words(kind: str, count: int) -> str:
    return (
        counted(count, "donor")
        if kind == DONORS
        else f"{counted(count, 'ladder')} of {kind.partition('/')[2]}"
    )
