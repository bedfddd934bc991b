"""Local receptive fields: whether the inputs that a unit of the first layer keeps lie together in the image."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tombola.comparison.measures.base import MEASURES, Case, Layer, Layerwise, Measure, quotient
from tombola.comparison.measures.paths import Wiring

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]


def grid(case: Case) -> Shape | None:
    """Channels, height and width of the images: the network's, or a square of 1 or 3 channels of as many inputs.

    None where inputs are no images, or no linear layer reads them.
    """
    architecture = case.network.architecture
    if architecture is not None:
        shape = architecture.input_shape
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
    inputs = math.prod(case.a.mask.shapes[_first(case)][1:])
    for channels in (1, 3):
        side = math.isqrt(inputs // channels)
        if channels * side * side == inputs:
            return channels, side, side
    return None


def images(case: Case) -> dict[str, tuple[Layer]]:
    """The masks [units, channels, height, width] of the linear layer that reads the images, if there is one."""
    name, shape = _first(case), grid(case)
    living = case.a.living()[name]
    if shape is None or living.ndim != 2 or living.shape[1] != math.prod(shape):
        return {}
    return {name: (living.reshape(-1, *shape),)}


def locality(images: Layer) -> float:
    """Moran's I of each unit's mask over neighbouring pixels, the mean over units that keep some and not all.

    I = (pixels / pairs) * sum over pairs of neighbours of z_i z_j / sum of z_i^2, with z the mask minus its mean
    (Moran 1950). Neighbours share an edge, in one channel; each pair counts once. Near 0 for a mask that
    is spread at random, -1 / (pixels - 1) on average, 1 for one large patch.
    """
    units, channels, height, width = images.shape
    pairs = channels * (height * (width - 1) + width * (height - 1))
    z = images - images.reshape(units, -1).mean(axis=1)[:, None, None, None]
    beside = (z[..., 1:] * z[..., :-1]).sum(axis=(1, 2, 3))
    below = (z[..., 1:, :] * z[..., :-1, :]).sum(axis=(1, 2, 3))
    varied = (z**2).sum(axis=(1, 2, 3))
    each: Floats = quotient(channels * height * width * (beside + below), pairs * varied)
    known = each[~np.isnan(each)]
    return float(known.mean()) if len(known) else np.nan


def _first(case: Case) -> str:
    """The layer that reads the inputs of the network."""
    return Wiring.of(case.a.mask, case.network).wires[0].name


_own = partial(Measure, family="topology", reads="mask", subjects=1, wired=True)

MEASURES.register(
    "locality", "one ticket: Moran's I of the first layer's masks on the image (Pellegrini & Biroli 2022)"
)(_own(Layerwise(images, locality), nulls=("layer-shuffle", "rewire")))
