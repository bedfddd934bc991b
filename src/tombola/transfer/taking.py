"""Which trainings an arm of a ladder takes for its mask and its start, beside its own."""

from __future__ import annotations

from enum import Enum

from tombola.lottery.arms.catalog import ACTIONS, AT_INIT, FROM_FILE, Arm, action_facts


class Took(Enum):
    """A training, or several, that an arm took from."""

    LADDER = "the replicate's ladder, whose ticket it looks at"
    DENSE = "the replicate's dense network"
    START = "the replicate's dense network, up to the iteration that tickets go back to"
    OWN = "the arm's own trainings at the levels before"
    DONOR = "the ladder of the replicate's donor"
    DONORS = "the ladders of all donors"
    TWIN = "the ladder of the replicate's twin"


FREE = frozenset(AT_INIT)
"""Mask actions that look at the untrained network alone."""
CORES = ("core", "core-apart", "core-fit", "core-fit-apart", "guided", "guided-fit")
"""Mask actions that look at donors and at the ticket's counts."""
SHARED = ("shared-rewired", "private-rewired", "fit-shared-rewired", "flip-shared", "flip-private")
"""Actions that look at the ticket and at all donors."""
UNREAD = ("donor", "donor-shuffled", "donor-rewired", "donor-input-map", "donor-start")
"""Actions that take a donor's ticket without a look at its trained dense network."""
AS_IT_COMES = (*UNREAD, "donor-fit")
"""Actions that take from a donor without aligning it to the replicate."""
UNMATCHED = (*UNREAD, "donor-signs-shuffled", "core-apart")
"""Actions that take from donors without a look at their trained dense networks, to align or to scramble by."""


def looks_at_lenders(arm: Arm) -> bool:
    """Whether an arm aligns or scrambles what it takes by the trained dense network of the donor, or of the twin."""
    return any(
        action not in UNMATCHED and {"donor", "twin"} & set(action_facts(kind, action)["traits"])
        for kind, action in ((kind, getattr(arm, field)) for field, kind in ACTIONS.items())
    )


def takes(arm: Arm, counts_are_fixed: bool) -> frozenset[Took]:
    """What an arm takes; `counts_are_fixed`: the counts of each layer are known before anything is trained, so that a
    random mask takes no training at all."""
    counts = frozenset[Took]() if counts_are_fixed else frozenset({Took.LADDER})
    found = frozenset[Took]()
    for kind, action in ((kind, getattr(arm, kind)) for kind in ACTIONS):
        found |= _taken(kind, action, counts)
    if not found & {Took.LADDER, Took.DENSE}:
        found |= {Took.START}
    return found


def _taken(kind: str, action: str, counts: frozenset[Took]) -> frozenset[Took]:
    traits = frozenset(action_facts(ACTIONS[kind], action)["traits"])
    if action.startswith(FROM_FILE):  # what it took elsewhere is not known here
        return frozenset()
    if action in SHARED:
        return frozenset({Took.LADDER, Took.DENSE, Took.DONORS})
    if action in CORES:
        return frozenset({Took.DENSE, Took.DONORS}) | counts
    if "twin" in traits:
        return frozenset({Took.DENSE, Took.TWIN})
    if "donor" in traits:
        return frozenset({Took.DONOR} if action in AS_IT_COMES else {Took.DONOR, Took.DENSE})
    if kind != "mask":
        return frozenset({Took.LADDER} if "trained" in traits else ())
    if action == "shuffle-global" or action in FREE:
        return frozenset()
    if action == "shuffle":
        return counts
    if "ladder" in traits:
        return frozenset({Took.DENSE, Took.OWN})
    return frozenset({Took.DENSE} if action == "one-shot" else {Took.LADDER})
