"""What an arm makes of a scene."""

from __future__ import annotations

from dataclasses import replace

from tombola.lottery.arms.catalog import Arm
from tombola.lottery.arms.context import Scene
from tombola.lottery.arms.masks import MASK_ACTIONS
from tombola.lottery.arms.weights import DEAD_ACTIONS, WEIGHT_ACTIONS
from tombola.masks.mask import Mask
from tombola.models.state import State


def treat(arm: Arm, scene: Scene) -> tuple[Mask, State, State]:
    """The mask, the state and the dead values that training starts from. Raises UserError for an unknown action."""
    mask = MASK_ACTIONS[arm.mask](scene)
    treated = replace(scene, treated=mask)
    return mask, WEIGHT_ACTIONS[arm.weights](treated), DEAD_ACTIONS[arm.dead](treated)
