"""Arms: the treatments that are trained beside the winning ticket, to show what makes it win.

An arm is a triple of registered actions: what happens to the mask, to the living weights, and to the dead
weights. Everything an action may draw on is in its `Scene`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tombola.errors import UserError
from tombola.masks import Mask
from tombola.models import Architecture, State
from tombola.registry import Registry
from tombola.seeds import Seeds


@dataclass(frozen=True)
class Scene:
    """What one draw of an arm at one level acts upon.

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

    def rng(self, purpose: str) -> np.random.Generator:
        """The stream of one purpose for this draw."""
        return self.seeds.stream(purpose, self.level, self.draw)


@dataclass(frozen=True)
class Arm:
    """Names of a mask action, a weights action and a dead-weights action."""

    mask: str
    weights: str
    dead: str = "zero"

    def treat(self, scene: Scene) -> tuple[Mask, State, State]:
        """The mask, the state and the dead values that training starts from."""
        mask = MASK_ACTIONS[self.mask](scene)
        return mask, WEIGHT_ACTIONS[self.weights](scene), DEAD_ACTIONS[self.dead](scene)


ARMS: Registry[Arm] = Registry("arm")
MASK_ACTIONS: Registry[Callable[[Scene], Mask]] = Registry("mask action")
WEIGHT_ACTIONS: Registry[Callable[[Scene], State]] = Registry("weights action")
DEAD_ACTIONS: Registry[Callable[[Scene], State]] = Registry("dead-weights action")

TICKET = "ticket"
ARMS.register(TICKET, "the winning ticket: its mask, its own weights rewound (Frankle & Carbin 2019, 2)")(
    Arm("keep", "rewind")
)
ARMS.register("reinit", "the ticket's mask with freshly drawn weights (Frankle & Carbin 2019, 3)")(
    Arm("keep", "reinit")
)
ARMS.register(
    "random-mask", "a random mask with the ticket's count in each layer, its own weights (F&C 2019, App. E)"
)(Arm("shuffle", "rewind"))
ARMS.register("random-mask-global", "a random mask with the ticket's total count, spread over all layers")(
    Arm("shuffle-global", "rewind")
)


@MASK_ACTIONS.register("keep")
def keep(scene: Scene) -> Mask:
    """The ticket's own mask."""
    return scene.mask


@MASK_ACTIONS.register("shuffle")
def shuffle(scene: Scene) -> Mask:
    """The same number of living weights in each tensor, at random places."""
    rng = scene.rng("shuffle")
    return Mask({name: _scatter([mask], mask.sum().item(), rng)[0] for name, mask in scene.mask.items()})


@MASK_ACTIONS.register("shuffle-global")
def shuffle_global(scene: Scene) -> Mask:
    """The same number of living weights in all, at random places of all tensors that are pruned."""
    pool = [name for name in scene.mask if scene.rates[name] > 0]
    if not pool:
        return scene.mask
    alive = sum(scene.mask.count(name) for name in pool)
    scattered = _scatter([scene.mask[name] for name in pool], alive, scene.rng("shuffle-global"))
    return Mask({**scene.mask, **dict(zip(pool, scattered, strict=True))})


def _scatter(like: list[torch.Tensor], alive: int | float, rng: np.random.Generator) -> list[torch.Tensor]:
    """Masks of the given shapes with `alive` weights in all, every placement as likely as any other."""
    sizes = [mask.numel() for mask in like]
    flat = np.zeros(sum(sizes), dtype=bool)
    flat[rng.permutation(flat.size)[: int(alive)]] = True
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [torch.from_numpy(part).view(mask.shape) for part, mask in zip(parts, like, strict=True)]


@WEIGHT_ACTIONS.register("rewind")
def rewind(scene: Scene) -> State:
    """The ticket's own initial (or rewound) state."""
    return scene.rewound


@WEIGHT_ACTIONS.register("reinit")
def reinit(scene: Scene) -> State:
    """A state drawn afresh from the initial distribution. Raises UserError for a bare network instance."""
    if not scene.architecture.can_reinit:
        raise UserError(
            f"{scene.architecture.name} is a network instance and has no initialiser to draw from again; "
            "hand in a factory instead, or leave out the reinit arm"
        )
    return scene.architecture.initial(scene.rng("reinit"))


@DEAD_ACTIONS.register("zero")
def zero(scene: Scene) -> State:
    """Dead weights are zero."""
    return {}
