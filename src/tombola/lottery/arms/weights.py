"""Weights actions: what an arm does to the weights that the ticket starts from.

All but `reinit` and `permute` change prunable weights only; biases, norms and buffers are rewound. Signs and values
are those of the rewound state.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.lottery.arms.catalog import NOISES
from tombola.lottery.arms.context import DEAD_ACTIONS, WEIGHT_ACTIONS, Scene
from tombola.models.state import State


@WEIGHT_ACTIONS.register("rewind")
def rewind(scene: Scene) -> State:
    """The ticket's own initial (or rewound) state (Frankle & Carbin 2019)."""
    return scene.rewound


@WEIGHT_ACTIONS.register("trained", traits=["trained"])
def trained(scene: Scene) -> State:
    """The trained state that the mask was pruned from, biases and norms as well (Renda et al. 2020).

    It is trained on, by the schedule from the iteration of rewinding. Raises UserError before anything was trained.
    """
    if scene.trained is None:
        raise UserError(f"arms at level {scene.level} cannot train on: nothing is trained yet")
    return scene.trained


@WEIGHT_ACTIONS.register("reinit", traits=["random", "initialiser"])
def reinit(scene: Scene) -> State:
    """A state drawn afresh from the initial distribution, biases and norms as well (Frankle & Carbin 2019).

    Raises UserError for a bare network instance.
    """
    if not scene.architecture.can_reinit:
        raise UserError(
            f"{scene.architecture.name} is a network instance and has no initialiser to draw from again; "
            "hand in a factory instead, or leave out the reinit arm"
        )
    return scene.architecture.initial(scene.rng("reinit"))


@WEIGHT_ACTIONS.register("reinit-signs", traits=["random", "initialiser"])
def reinit_signs(scene: Scene) -> State:
    """The weights that `reinit` draws, each with the sign of the ticket's own (Zhou et al. 2019)."""
    fresh = reinit(scene)
    return scene.with_weights(lambda name, old: fresh[name].abs().copysign(old))


@WEIGHT_ACTIONS.register("reinit-ticket", traits=["random"])
def reinit_ticket(scene: Scene) -> State:
    """Weights drawn, with replacement, from those the ticket keeps in the layer (F&C 2019, App. F.3)."""
    rng = scene.rng("reinit-ticket")

    def drawn(name: str, old: Tensor) -> Tensor:
        own = old[scene.mask[name]]
        if not len(own):  # a collapsed layer has nothing to draw from
            return old
        return own[torch.from_numpy(rng.integers(len(own), size=tuple(old.shape)))]

    return scene.with_weights(drawn)


@WEIGHT_ACTIONS.register("reshuffle", traits=["random"])
def reshuffle(scene: Scene) -> State:
    """The kept weights of a layer in random order at its kept places (Zhou et al. 2019)."""
    rng = scene.rng("reshuffle")
    return scene.with_weights(lambda name, old: _reordered(old, [scene.kept[name]], rng))


@WEIGHT_ACTIONS.register("reshuffle-signs", traits=["random"])
def reshuffle_signs(scene: Scene) -> State:
    """As `reshuffle`, among places of one sign: each place keeps its sign (Zhou et al. 2019)."""
    rng = scene.rng("reshuffle-signs")

    def reordered(name: str, old: Tensor) -> Tensor:
        return _reordered(old, [scene.kept[name] & (old.sign() == sign) for sign in (-1, 1)], rng)

    return scene.with_weights(reordered)


@WEIGHT_ACTIONS.register("constant", traits=["random"])
def constant(scene: Scene) -> State:
    """Plus or minus the deviation of the layer's initial weights, at random (Zhou et al. 2019)."""
    rng = scene.rng("constant")

    def signed(name: str, old: Tensor) -> Tensor:
        signs = torch.from_numpy(rng.integers(2, size=tuple(old.shape)) * 2 - 1)
        return torch.full_like(old, scene.deviation(name)) * signs.to(old.dtype)

    return scene.with_weights(signed)


@WEIGHT_ACTIONS.register("constant-signs")
def constant_signs(scene: Scene) -> State:
    """The deviation of the layer's initial weights, with the signs of the ticket's own (Zhou et al. 2019)."""
    return scene.with_weights(lambda name, old: torch.full_like(old, scene.deviation(name)).copysign(old))


def noise(scene: Scene, times: float) -> State:
    """The ticket's weights with Gaussian noise on them, of `times` the deviation of the layer's initial weights.

    The noise of one draw is the same for every factor, but for its size (F&C 2019, App. F.7).
    """
    rng = scene.rng("noise")

    def noisy(name: str, old: Tensor) -> Tensor:
        shift = times * scene.deviation(name) * rng.standard_normal(tuple(old.shape))
        return (old.double() + torch.from_numpy(shift)).to(old.dtype)

    return scene.with_weights(noisy)


for _times in NOISES:
    WEIGHT_ACTIONS.register(
        f"noise-{_times:g}",
        f"the ticket's weights with Gaussian noise of {_times:g} deviations of the layer's initial weights "
        "(F&C 2019, App. F.7)",
        traits=["random"],
    )(partial(noise, times=_times))


@WEIGHT_ACTIONS.register("permute", traits=["random", "units"])
def permute(scene: Scene) -> State:
    """All that hidden units have, in the order in which the mask action `permute` puts them (Ainsworth et al. 2023)."""
    return scene.permuted(scene.rewound)


@WEIGHT_ACTIONS.register("zero-towards", traits=["trained"])
def zero_towards(scene: Scene) -> State:
    """Zero where training moved the weights towards zero, else the ticket's own (Zhou et al. 2019, variant 2)."""
    return scene.with_weights(lambda name, old: old.masked_fill(scene.shrank(name), 0))


def _reordered(old: Tensor, among: list[Tensor], rng: np.random.Generator) -> Tensor:
    """A copy whose values at each set of places are in random order."""
    new = old.clone()
    for places in among:
        values = old[places]
        new[places] = values[torch.from_numpy(rng.permutation(len(values)))]
    return new


@DEAD_ACTIONS.register("zero")
def zero(scene: Scene) -> State:
    """Dead weights are zero (Frankle & Carbin 2019)."""
    return {}


@DEAD_ACTIONS.register("freeze")
def freeze(scene: Scene) -> State:
    """Dead weights stay at the values of iteration 0 (Zhou et al. 2019)."""
    return {name: scene.initial[name] for name in scene.mask}


@DEAD_ACTIONS.register("zero-towards", traits=["trained"])
def zero_or_freeze(scene: Scene) -> State:
    """Zero where training moved the weights towards zero, else as at iteration 0 (Zhou et al. 2019, variant 1)."""
    return {name: scene.initial[name].masked_fill(scene.shrank(name), 0) for name in scene.mask}
