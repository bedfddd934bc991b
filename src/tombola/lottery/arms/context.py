"""What the actions of an arm act upon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from tombola.errors import UserError
from tombola.lottery.arms.donors import Lent
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.models.units import permute, unit_axes
from tombola.registry import Registry
from tombola.seeds import Seeds


@dataclass(frozen=True)
class Rung:
    """What one network of a ladder was trained from and to: what the mask of the next level is pruned from."""

    mask: Mask
    start: State
    trained: State
    """Where it ended; dead weights tell nothing there."""


@dataclass(frozen=True)
class Scene:
    """What one draw of an arm at one level acts upon; to be left as it is.

    `mask` is the ticket's; `rewound` the state that its weights go back to; `rates` the prune rate of each
    prunable tensor (a rate of 0 keeps the tensor whole in every arm).
    """

    architecture: Architecture
    mask: Mask
    rewound: State
    rates: Mapping[str, float]
    seeds: Seeds
    level: int
    draw: int
    initial: State
    """The replicate's state at iteration 0; what `rewound` is unless weights go back to a later one."""
    trained: State | None = None
    """The trained state that the ticket's mask was pruned from; of a dead weight, the value it ended its last
    training with while it lived. None before anything was trained."""
    partner: Mask | None = None
    """The ticket's mask of the partner replicate at this level; None where that ladder has ended."""
    dense: Rung | None = None
    """The dense network, from iteration 0 to its end. None before it was trained."""
    own: Rung | None = None
    """This arm's own network of the level before, at level 1 the dense one: for actions with the trait `ladder`."""
    rule: PruneRule = field(default_factory=PruneRule)
    """How the ticket is pruned."""
    probing: Callable[[], Probing] | None = None
    """The replicate's probes, for criteria that look at the network and its data."""
    lent: Callable[[], Lent] | None = None
    """What arms may take from donors at this level."""
    treated: Mask | None = None
    """What the mask action made of `mask`: for the actions on weights, which come after it."""

    @property
    def kept(self) -> Mask:
        """The mask that will be trained."""
        return self.mask if self.treated is None else self.treated

    def rng(self, purpose: str) -> np.random.Generator:
        """The stream of one purpose for this draw."""
        return self.seeds.stream(purpose, self.level, self.draw)

    def with_weights(self, change: Callable[[str, Tensor], Tensor]) -> State:
        """The rewound state with each prunable tensor changed, given its name and its rewound values.

        Biases, norms and buffers stay rewound.
        """
        return {**self.rewound, **{name: change(name, self.rewound[name]) for name in self.mask}}

    def deviation(self, name: str) -> float:
        """Standard deviation of the initial weights of a tensor, all of them, dead or alive."""
        return float(self.initial[name].double().std(correction=0))

    def shrank(self, name: str) -> Tensor:
        """Where training moved the weights of a tensor towards zero: it left them smaller than at iteration 0.

        Of the training after which they were pruned, or the last one for those that live (Zhou et al. 2019).
        Raises UserError before anything was trained.
        """
        if self.trained is None:
            raise UserError(
                f"arms at level {self.level} cannot ask where weights moved: none are trained yet"
            )
        return self.trained[name].abs() < self.initial[name].abs()

    def permuted(self, tensors: Mapping[str, Tensor]) -> State:
        """The tensors with hidden units in another order, the same one for all that is asked of one draw.

        Raises UserError for a network whose hidden units cannot be followed.
        """
        groups, rng = unit_axes(self.architecture), self.rng("permute")
        return permute(tensors, groups, [rng.permutation(group.size) for group in groups])


HOME, TRAITS = "tombola.lottery.arms", {"traits": ()}
MASK_ACTIONS: Registry[Callable[[Scene], Mask]] = Registry("mask action", HOME, defaults=TRAITS)
WEIGHT_ACTIONS: Registry[Callable[[Scene], State]] = Registry("weights action", HOME, defaults=TRAITS)
DEAD_ACTIONS: Registry[Callable[[Scene], State]] = Registry("dead-weights action", HOME, defaults=TRAITS)
