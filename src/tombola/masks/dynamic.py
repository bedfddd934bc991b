"""Dynamic sparse training: every few steps some weights of a mask die and as many others begin to live.

Functions from a mask to the next one; the counts of every tensor stay as they are. Weights that begin to live start
from zero in the papers: that is for whoever holds the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.masks.allocation import removals
from tombola.masks.mask import Mask
from tombola.masks.structure import Floats, lowest


def drop_fraction(iteration: int, iterations: int, start: float = 0.3, until: float = 0.75) -> float:
    """Share of the living weights to replace: `start` at first, down to 0 along half a cosine at `until` of training
    and 0 from there on (Evci et al. 2020, section 3, with their alpha and T_end)."""
    end = until * iterations
    return start / 2 * (1 + math.cos(math.pi * iteration / end)) if iteration < end else 0.0


def set_update(mask: Mask, weights: Mapping[str, Tensor], fraction: float, rng: np.random.Generator) -> Mask:
    """In each tensor the `fraction` of the living with the smallest magnitudes die, and as many grow at random among
    those that are then dead (SET: Mocanu et al. 2018; as in Evci et al. 2020, which drops by magnitude).

    floor(fraction * alive + 1/2) change places; one that just died may live on. Raises UserError for a fraction
    outside 0 to 1, and for a living weight that is missing or not finite.
    """

    def growth(name: str) -> Floats:
        return rng.random(mask.shapes[name])

    return _replaced(mask, weights, fraction, growth, rng)


def rigl_update(
    mask: Mask,
    weights: Mapping[str, Tensor],
    gradient: Mapping[str, Tensor],
    fraction: float,
    rng: np.random.Generator,
) -> Mask:
    """As `set_update`, but those grow whose gradient is largest in magnitude (RigL: Evci et al. 2020, section 3).

    `gradient` is that of the loss by all weights, dead ones too, as a `Probe` has it; the stream breaks ties.
    """

    def growth(name: str) -> Floats:
        return _magnitudes(name, gradient, "gradient", torch.ones_like(mask[name]))

    return _replaced(mask, weights, fraction, growth, rng)


def _replaced(
    mask: Mask,
    weights: Mapping[str, Tensor],
    fraction: float,
    growth: Callable[[str], Floats],
    rng: np.random.Generator,
) -> Mask:
    if not 0 <= fraction <= 1:
        raise UserError(f"fraction of weights to replace is {fraction}, expected 0 to 1")
    after = {}
    for name, living in mask.items():
        number = removals(mask.count(name), fraction)
        alive, magnitudes = living.numpy(), _magnitudes(name, weights, "weights", living)
        alive[alive] = ~lowest(magnitudes[alive], number, rng)
        alive[~alive] = lowest(-growth(name)[~alive], number, rng)
        after[name] = torch.from_numpy(alive)
    return Mask(after)


def _magnitudes(name: str, tensors: Mapping[str, Tensor], what: str, needed: Tensor) -> Floats:
    """Absolute values [shape of the mask], finite where `needed`."""
    if name not in tensors:
        raise UserError(f"{what} lack '{name}'{nearest(name, tensors)}")
    values = tensors[name].detach().to("cpu", torch.float64).abs()
    if values.shape != needed.shape:
        raise UserError(f"{what}: '{name}' has shape {tuple(values.shape)}, expected {tuple(needed.shape)}")
    if not values[needed].isfinite().all():
        raise UserError(f"{what} of '{name}' are not all finite (has the training diverged?)")
    magnitudes: Floats = values.numpy()
    return magnitudes
