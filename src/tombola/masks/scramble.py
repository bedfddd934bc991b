"""A mask and its dense network scrambled together: other wiring and other weights, of the same make."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tombola.masks.mask import Mask
from tombola.masks.rewire import rewired
from tombola.models.state import State

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
Order = NDArray[np.intp]
"""For each place of a tensor, in C order, the place that its weight comes from."""


def scrambled(mask: Mask, dense: State, rng: np.random.Generator) -> tuple[Mask, State]:
    """Another mask with every unit's and every input's degree, and the dense network that it would be cut from.

    In each masked tensor living weights are moved to the new living places and dead ones to the dead (`order_of`), so
    what was the mask of the largest weights is so again. All that is not masked (biases, norms) stays.
    """
    import torch

    orders = {name: order_of(mask[name].numpy(), dense[name].double().numpy(), rng) for name in mask}

    def moved(tensors: Mapping[str, torch.Tensor]) -> State:
        return {
            name: x.reshape(-1)[torch.from_numpy(orders[name])].view_as(x) if name in orders else x.clone()
            for name, x in tensors.items()
        }

    return Mask(moved(mask)), moved(dense)


def order_of(living: Bits, weights: Floats, rng: np.random.Generator) -> Order:
    """Where each place of a tensor [outputs, ...] gets its weight from.

    The living places are rewired with the degrees of all rows and columns kept. Among the living, and among the dead,
    the larger weights go where larger ones are to be expected: to the rows and columns of large weights. There a place
    draws how far it is from what its row and column lead to expect from all the places of its kind, at random. So rows
    and columns keep their scale about, and the match of rows to columns beyond that is lost.
    """
    old, values = living.reshape(len(living), -1), np.abs(weights).reshape(len(living), -1)
    new = rewired(old, rng)
    scale = _scale(values)
    order = np.empty(old.size, dtype=np.intp)
    for alive in (True, False):
        here, there = np.flatnonzero(old == alive), np.flatnonzero(new == alive)
        drawn = rng.permutation((values / scale).reshape(-1)[here]) * scale.reshape(-1)[there]
        order[there[np.argsort(drawn, kind="stable")]] = here[
            np.argsort(values.reshape(-1)[here], kind="stable")
        ]
    return order


def _scale(values: Floats) -> Floats:
    """What the rows and columns of a matrix lead to expect of its magnitudes [rows, columns], as a product."""
    rows = _spread(values, 1)
    return rows * _spread(values / rows, 0)


def _spread(values: Floats, axis: int) -> Floats:
    """The root mean square along an axis, 1 where all is zero."""
    spread = np.sqrt(np.mean(values**2, axis=axis, keepdims=True))
    return np.asarray(np.where(spread > 0, spread, 1.0))
