"""What an arm makes of a scene."""

from __future__ import annotations

from dataclasses import replace

from tombola.lottery.arms.catalog import FROM_FILE, Arm
from tombola.lottery.arms.context import DEAD_ACTIONS, MASK_ACTIONS, WEIGHT_ACTIONS, Scene
from tombola.lottery.arms.donors import LadderEndedError
from tombola.lottery.arms.files import of_file
from tombola.masks.mask import Mask
from tombola.models.state import State


def treat(arm: Arm, scene: Scene) -> tuple[Mask, State, State]:
    """The mask, the state and the dead values that training starts from. Raises UserError for an unknown action.

    Where it takes from a donor whose ladder has ended the mask is empty, so that the cell counts as collapsed.
    """
    try:
        mask = of_file(arm.mask, scene) if arm.mask.startswith(FROM_FILE) else MASK_ACTIONS[arm.mask](scene)
        treated = replace(scene, treated=mask)
        return mask, WEIGHT_ACTIONS[arm.weights](treated), DEAD_ACTIONS[arm.dead](treated)
    except LadderEndedError:
        return Mask.empty(scene.mask.shapes), scene.rewound, {}
