"""Mask actions: what an arm does to the ticket's mask before it is trained.

A tensor whose rate is 0 stays whole in all of them.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from tombola.errors import UserError
from tombola.lottery.arms.catalog import AT_INIT
from tombola.lottery.arms.context import MASK_ACTIONS, Rung, Scene
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rewire import rewired
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture


@MASK_ACTIONS.register("keep")
def keep(scene: Scene) -> Mask:
    """The ticket's own mask (Frankle & Carbin 2019)."""
    return scene.mask


@MASK_ACTIONS.register("shuffle", traits=["random"])
def shuffle(scene: Scene) -> Mask:
    """The same number of living weights in each tensor, at random places (Frankle et al. 2021)."""
    rng = scene.rng("shuffle")
    return Mask({name: _scatter([mask], mask.sum().item(), rng)[0] for name, mask in scene.mask.items()})


@MASK_ACTIONS.register("shuffle-global", traits=["random"])
def shuffle_global(scene: Scene) -> Mask:
    """The same number of living weights in all, at random places of all tensors that are pruned (after F&C 2019)."""
    pool = [name for name in scene.mask if scene.rates[name] > 0]
    if not pool:
        return scene.mask
    alive = sum(scene.mask.count(name) for name in pool)
    scattered = _scatter([scene.mask[name] for name in pool], alive, scene.rng("shuffle-global"))
    return Mask({**scene.mask, **dict(zip(pool, scattered, strict=True))})


@MASK_ACTIONS.register("invert")
def invert(scene: Scene) -> Mask:
    """The dead live and the living are dead (Frankle et al. 2021)."""
    return Mask({name: ~mask if scene.rates[name] > 0 else mask for name, mask in scene.mask.items()})


@MASK_ACTIONS.register("partner", traits=["partner"])
def partner(scene: Scene) -> Mask:
    """The mask of the partner replicate: of 1 for 0, of 0 for 1, of 3 for 2, ... (Adnan et al. 2025, "naive").

    Empty where the partner's ladder has ended, so that the cell counts as collapsed.
    """
    if scene.partner is not None:
        return scene.partner
    return Mask.empty(scene.mask.shapes)


@MASK_ACTIONS.register("rewire", traits=["random"])
def rewire(scene: Scene) -> Mask:
    """Random connections that keep the in- and out-degree of every unit (after Strona et al. 2014).

    A tensor is a matrix of output units by input features, and both its row and its column sums are kept. In
    a convolution an input feature is an input channel at one place of the kernel; its groups are rewired
    each on its own. What has one input per unit (a depthwise convolution) has no other wiring and stays.
    """
    rng, groups = scene.rng("rewire"), _groups(scene.architecture)
    return Mask({name: _wired_anew(mask, groups[name], rng) for name, mask in scene.mask.items()})


@MASK_ACTIONS.register("input-map", traits=["random", "inputs"])
def input_map(scene: Scene) -> Mask:
    """How many weights leave each input is kept, and each layer's count; no more (after F&C 2019, App. F.6).

    The first layer keeps its column sums, as in `rewire`, and its units get their inputs at random; all other
    layers are shuffled.
    """
    first, rng = scene.architecture.prunable[0], scene.rng("input-map")
    groups = _groups(scene.architecture)[first]
    shuffled = {
        name: _scatter([mask], mask.sum().item(), rng)[0]
        for name, mask in scene.mask.items()
        if name != first
    }
    return Mask({**shuffled, first: _dealt_to_units(scene.mask[first], groups, rng)})


@MASK_ACTIONS.register("permute", traits=["random", "units"])
def permute(scene: Scene) -> Mask:
    """The mask with hidden units in another order (after Ainsworth et al. 2023)."""
    return Mask(scene.permuted(scene.mask))


# --- masks pruned to the ticket's count in each layer: only where the weights are differs from the ticket --------


@MASK_ACTIONS.register("one-shot", traits=["prunes"])
def one_shot(scene: Scene) -> Mask:
    """The trained dense network pruned once, to the ticket's count in each layer (Frankle & Carbin 2019, 2)."""
    return _pruned_like_the_ticket(scene, "one-shot", scene.dense, scene.rule)


def at_init(scene: Scene, action: str) -> Mask:
    """The network of iteration 0 pruned by a criterion to the ticket's count in each layer (Frankle et al. 2021)."""
    untrained = Rung(Mask.dense(scene.mask.shapes), scene.initial, scene.initial)
    return _pruned_like_the_ticket(scene, action, untrained, rule_of(action, scene.rule))


def rule_of(action: str, rule: PruneRule) -> PruneRule:
    """The rule that a mask action prunes by in a study of this one: its own criterion, the study's structure.

    Raises UserError for a criterion and a structure that do not go together.
    """
    criterion = AT_INIT[action][0] if action in AT_INIT else rule.criterion
    try:
        return PruneRule.model_validate({**dict(rule), "criterion": criterion})
    except ValidationError as problem:
        raise UserError(f"mask action '{action}': {problem.errors()[0]['ctx']['error']}") from None


for _action, (_, _called) in AT_INIT.items():
    MASK_ACTIONS.register(
        _action,
        f"the untrained network pruned to the ticket's count in each layer, by {_called}",
        traits=["prunes"],
    )(partial(at_init, action=_action))


@MASK_ACTIONS.register("own-ladder", traits=["prunes", "ladder"])
def own_ladder(scene: Scene) -> Mask:
    """The arm's own mask of the level before, pruned by its own weights (after Frankle & Carbin 2019, 2).

    To the ticket's count in each layer, by the study's criterion; at level 1 the dense network is what is pruned.
    """
    return _pruned_like_the_ticket(scene, "own-ladder", scene.own, scene.rule)


def _pruned_like_the_ticket(scene: Scene, action: str, rung: Rung | None, rule: PruneRule) -> Mask:
    """What was trained, pruned to the ticket's count in each layer."""
    if rung is None:
        raise UserError(
            f"mask action '{action}' at level {scene.level} prunes trained weights, and there are none"
        )
    asks = CRITERIA.facts(rule.criterion)["probe"]
    probe = scene.probing() if scene.probing and asks else None
    counts, ties = scene.mask.counts(), scene.rng(action)
    return Pruner(rule, {}, ties, probe).to_layer_counts(rung.mask, rung.start, rung.trained, counts)


def _scatter(like: list[Tensor], alive: int | float, rng: np.random.Generator) -> list[Tensor]:
    """Masks of the given shapes with `alive` weights in all, every placement as likely as any other."""
    sizes = [mask.numel() for mask in like]
    flat = np.zeros(sum(sizes), dtype=bool)
    flat[rng.permutation(flat.size)[: int(alive)]] = True
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [torch.from_numpy(part).view(mask.shape) for part, mask in zip(parts, like, strict=True)]


def _wired_anew(mask: Tensor, groups: int, rng: np.random.Generator) -> Tensor:
    blocks = [rewired(block, rng) for block in np.split(_matrix(mask), groups)]
    return torch.from_numpy(np.concatenate(blocks)).view(mask.shape)


def _dealt_to_units(mask: Tensor, groups: int, rng: np.random.Generator) -> Tensor:
    """Each column's living weights at random rows of its group."""
    blocks = np.split(_matrix(mask), groups)
    places = [rng.random(block.shape).argsort(axis=0) for block in blocks]
    dealt = [place < block.sum(axis=0) for place, block in zip(places, blocks, strict=True)]
    return torch.from_numpy(np.concatenate(dealt)).view(mask.shape)


def _matrix(mask: Tensor) -> NDArray[np.bool_]:
    """[output units, input features]."""
    return mask.reshape(len(mask), -1).numpy()


def _groups(architecture: Architecture) -> dict[str, int]:
    """Prunable name -> the groups that its output units come in, each with inputs of its own."""
    module = architecture.build()
    layers = {name: module.get_submodule(name.rpartition(".")[0]) for name in architecture.prunable}
    return {name: int(getattr(layer, "groups", 1)) for name, layer in layers.items()}
