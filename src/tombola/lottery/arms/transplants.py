"""Transplants: what arms take from the tickets of donors, and the controls that say what that shows.

A donor's mask is laid over the recipient's own weights, biases and norms, its hidden units in the recipient's order (as
the two dense networks tell, Ainsworth et al. 2023) or in another. Adnan et al. 2025 align tickets to other starts; the
controls are ours. Where a control is another graph, the claim is an interaction: what aligning adds to a donor, less
what it adds to one that shares nothing (`fit`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from tombola.lottery.arms.catalog import LAYER_ARMS, Trait
from tombola.lottery.arms.context import MASK_ACTIONS, WEIGHT_ACTIONS, Scene
from tombola.lottery.arms.masks import input_map, rewire
from tombola.lottery.arms.recipient import Recipient
from tombola.masks.mask import Mask
from tombola.models.state import State

TAKES: tuple[Trait, ...] = ("donor", "units", "initialiser")
DRAWS: tuple[Trait, ...] = ("random", *TAKES)


# --- whole masks of the recipient's donor --------------------------------------------------------------------------


@MASK_ACTIONS.register("donor", traits=TAKES)
def donor(scene: Scene) -> Mask:
    """The donor's mask as it is: the same graph, its units in no known order (after Adnan et al. 2025)."""
    return Recipient(scene).donor().mask


@MASK_ACTIONS.register("donor-aligned", traits=TAKES)
def donor_aligned(scene: Scene) -> Mask:
    """The donor's mask, its units in the recipient's order by the dense networks (Ainsworth et al. 2023, 3.2)."""
    taken = Recipient(scene)
    return Mask(taken.aligned(taken.donor().mask))


@MASK_ACTIONS.register("donor-shuffled", traits=DRAWS)
def donor_shuffled(scene: Scene) -> Mask:
    """The donor's mask, its units in random order: as good as in its own (after Ainsworth et al. 2023)."""
    taken = Recipient(scene)
    return Mask(taken.in_order(taken.donor().mask, taken.random_order("shuffle-donor")))


@MASK_ACTIONS.register("donor-rewired", traits=DRAWS)
def donor_rewired(scene: Scene) -> Mask:
    """The donor's mask, rewired with the degree of every unit kept (after Strona et al. 2014)."""
    return rewire(replace(scene, mask=donor(scene)))


@MASK_ACTIONS.register("donor-aligned-rewired", traits=DRAWS)
def donor_aligned_rewired(scene: Scene) -> Mask:
    """The aligned mask of the donor, rewired: only degrees are left of it (after Strona et al. 2014)."""
    return rewire(replace(scene, mask=donor_aligned(scene)))


@MASK_ACTIONS.register("donor-fit", traits=DRAWS)
def donor_fit(scene: Scene) -> Mask:
    """The donor's mask, scrambled together with its dense network, degrees kept (after Strona et al. 2014)."""
    return Recipient(scene).fit()


@MASK_ACTIONS.register("donor-fit-aligned", traits=DRAWS)
def donor_fit_aligned(scene: Scene) -> Mask:
    """The mask of `donor-fit`, aligned by its dense network: what the fit gives (after Ainsworth et al. 2023)."""
    return Recipient(scene).fit_aligned()


@MASK_ACTIONS.register("donor-input-map", traits=[*DRAWS, "inputs"])
def donor_input_map(scene: Scene) -> Mask:
    """The donor's count of weights from each input and in each layer; no more (after F&C 2019, App. E)."""
    return input_map(replace(scene, mask=donor(scene)))


@MASK_ACTIONS.register("twin", traits=[*TAKES, "twin"])
def twin(scene: Scene) -> Mask:
    """The mask of the twin, its units shuffled, then aligned as a donor's are (after Ainsworth et al. 2023)."""
    return Recipient(scene).twin_aligned


def one_layer_aligned(scene: Scene, layer: int | None) -> Mask:
    """The donor's mask, each tensor with its units in a random order of its own but for one, which is aligned; None for
    none. Tensors are counted from 1, in the order of the forward pass."""
    taken, names = Recipient(scene), scene.architecture.prunable
    mask = taken.donor().mask
    found = taken.aligned(mask)
    return Mask(
        {
            name: found[name]
            if layer == place
            else taken.apart(mask[name], name, taken.rng("shuffle-layer", place))
            for place, name in enumerate(names, start=1)
        }
    )


MASK_ACTIONS.register(
    "donor-layers-apart",
    "the donor's tensors in orders of their own (after Ainsworth et al. 2023)",
    traits=DRAWS,
)(partial(one_layer_aligned, layer=None))
for _name, _layer in LAYER_ARMS.items():
    MASK_ACTIONS.register(
        _name,
        f"tensor {_layer} of the donor's mask aligned, the others in orders of their own (after Ainsworth et al. 2023)",
        traits=DRAWS,
    )(partial(one_layer_aligned, layer=_layer))


# --- weights: under the mask of `donor-aligned` or `donor` ---------------------------------------------------------


@WEIGHT_ACTIONS.register("donor-start", traits=["donor", "initialiser"])
def donor_start(scene: Scene) -> State:
    """All that the donor's ticket starts from, biases, norms and buffers as well (after Adnan et al. 2025)."""
    return Recipient(scene).donor().start


@WEIGHT_ACTIONS.register("donor-signs", traits=TAKES)
def donor_signs(scene: Scene) -> State:
    """The recipient's magnitudes with the signs of the donor's start, units aligned (after Adnan et al. 2025)."""
    taken = Recipient(scene)
    return _with_signs(scene, taken.aligned(taken.donor().start))


@WEIGHT_ACTIONS.register("donor-signs-shuffled", traits=DRAWS)
def donor_signs_shuffled(scene: Scene) -> State:
    """The recipient's magnitudes, signs of the donor's start in random order of units (after Adnan et al. 2025)."""
    taken = Recipient(scene)
    return _with_signs(scene, taken.in_order(taken.donor().start, taken.random_order("shuffle-signs")))


def _with_signs(scene: Scene, other: State) -> State:
    def signed(name: str, own: Tensor) -> Tensor:
        return torch.where(other[name] == 0, own, own.abs().copysign(other[name]))

    return scene.with_weights(signed)
