"""The [[arms]] entries of a study."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from tombola import parts
from tombola.lottery.arms.catalog import ACTIONS, ARMS, DOSE_ARMS, NOISES, TICKET, Arm, action_facts
from tombola.lottery.arms.file_actions import with_file_read
from tombola.study.fields import Draws, Level, Name

CHANGED = (
    *(f"noise-{times:g}" for times in NOISES),
    *(
        "permute",
        "reshuffle",
        "reshuffle-signs",
        "reinit-signs",
        "reinit-ticket",
        "constant-signs",
        "zero-towards",
    ),
    *("donor-signs", "donor-signs-shuffled", "flip-shared", "flip-private"),
)
"""Weights actions that change the weights that tickets are rewound to."""
PARTS_OF_IT = (*DOSE_ARMS, "shared-rewired", "private-rewired", "fit-shared-rewired")
"""Mask actions that move a part of the ticket."""
PRUNED_FROM = ("iterative", "continued", "one-shot")
"""Modes in which masks are pruned from where a training ended, which is what `weights = "trained"` starts from."""


class ArmSpec(BaseModel):
    """An [[arms]] entry: an arm, how many draws, and at which levels (all when left out).

    The arm is a registered one, by name. Or it spells its actions, `mask`, `weights` and `dead`, of which those
    left out are the ticket's, and has a name of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """A name of `tombola catalog arms`, or one of your own with actions."""
    draws: Draws = 1
    """Networks in each replicate, of an arm that draws at random."""
    levels: tuple[Level, ...] | None = None
    """Where it is trained; every level when left out."""
    mask: str | None = None
    """What happens to the ticket's mask: a name of `tombola catalog mask-actions`."""
    weights: str | None = None
    """What the living weights start from: a name of `tombola catalog weights-actions`."""
    dead: str | None = None
    """What dead weights are frozen at: a name of `tombola catalog dead-actions`."""

    @field_validator("mask", "weights", "dead")
    @classmethod
    def _known_action(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None:
            action_facts(ACTIONS[str(info.field_name)], name)
        return with_file_read(name) if name is not None and info.field_name == "mask" else name

    @model_validator(mode="after")
    def _is_an_arm(self) -> Self:
        if self.name in parts.names("search"):
            raise ValueError(
                f"'{self.name}' is what the networks of mode '{self.name}' are called in which masks are searched for; "
                "give the arm another name"
            )
        arm = self.arm
        if self.name in ARMS.so_far and arm != ARMS[self.name]:
            raise ValueError(
                f"arm '{self.name}' is {arm}, but the registered arm of that name is {ARMS[self.name]}; "
                "give it another name"
            )
        if self.name == TICKET and (self.draws != 1 or self.levels is not None):
            raise ValueError("the ticket has one draw, at every level")
        steps = list(range(1, max(self.levels or (0,)) + 1))
        if "ladder" in arm.traits and self.levels is not None and sorted(self.levels) != steps:
            raise ValueError(
                f"arm '{self.name}' has a ladder of its own, which starts at level 1 and leaves none out: found "
                f"levels = {list(self.levels)}, expected {steps}"
            )
        if {"ladder", "trained"} <= arm.traits:
            raise ValueError(
                f"arm '{self.name}' is {arm}: its masks come from trainings of its own, and what it does to weights "
                "from the ticket's; expected actions that look at one of the two"
            )
        if self.draws > 1 and "random" not in arm.traits:
            raise ValueError(
                f"arm '{self.name}' draws nothing at random, so draws = {self.draws} would train the same "
                "network again and again; leave draws out"
            )
        return self

    @property
    def arm(self) -> Arm:
        """What is done: the actions that it spells, else those of the registered arm of its name."""
        spelled = {key: getattr(self, key) for key in ACTIONS if getattr(self, key) is not None}
        return Arm(**(spelled or parts.facts(ARMS.kind, self.name)))


def check_starts(arms: Iterable[ArmSpec], mode: str, after: str) -> None:
    """Raises ValueError for arms that could not start from the weights that they are said to start from."""
    for entry in arms:
        arm = entry.arm
        if arm.weights == "trained" and mode not in PRUNED_FROM:
            raise ValueError(
                f"arm '{entry.name}' trains on from the weights that its mask was pruned from, and in mode = '{mode}' "
                f"no training ended with these: expected mode = {', '.join(map(repr, PRUNED_FROM))}, or no such arm"
            )
        as_rewound = arm.weights == "rewind" and (arm.dead != "zero" or arm.mask in PARTS_OF_IT)
        if after == "learning-rate" and (arm.weights in CHANGED or as_rewound):
            raise ValueError(
                f"after = 'learning-rate' has tickets start from trained weights, and arm '{entry.name}' is {arm}, "
                "which takes those of the iteration of rewinding for the ticket's: expected weights = 'trained' (in an "
                "arm with a name of its own), or no such arm"
            )
