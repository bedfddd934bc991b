"""Dead-weights actions: the values that dead weights keep throughout training.

They give values for whole tensors; only those at dead places count, and tensors that are left out are zero there.
"""

from __future__ import annotations

from tombola.lottery.scene import Actions, Scene
from tombola.models import State

DEAD_ACTIONS: Actions[State] = Actions("dead-weights action")


@DEAD_ACTIONS.register("zero")
def zero(scene: Scene) -> State:
    """Dead weights are zero (Frankle & Carbin 2019)."""
    return {}


@DEAD_ACTIONS.register("freeze")
def freeze(scene: Scene) -> State:
    """Dead weights stay at the values of iteration 0 (Zhou et al. 2019)."""
    return {name: scene.initial[name] for name in scene.mask}


@DEAD_ACTIONS.register("zero-towards", traits=["trained"])
def zero_towards(scene: Scene) -> State:
    """Zero where training moved the weights towards zero, else as at iteration 0 (Zhou et al. 2019, variant 1)."""
    return {name: scene.initial[name].masked_fill(scene.shrank(name), 0) for name in scene.mask}
