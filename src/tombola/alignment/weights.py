"""Weight matching: hidden units of two networks, matched by the weights that they read and write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tombola.alignment.matching import Floats
from tombola.alignment.network import Network, Permutations
from tombola.alignment.restarts import RESTARTS, best, starts
from tombola.models.state import State


def match_weights(
    a: State,
    b: State,
    network: Network,
    names: Sequence[str],
    rng: np.random.Generator,
    restarts: int = RESTARTS,
) -> Permutations:
    """The permutations that lay the weights of `b` over those of `a` (Ainsworth et al. 2023, section 3.2).

    `names` are the prunable tensors that are read, each with its bias; nothing else of the states is, so that a tensor
    left out, and its bias, have no say. Coordinate descent finds a local optimum, so it is tried from several starts
    (units as they come, matched inwards from both ends, then random orders drawn from `rng`), and the largest sum of
    products of matched entries wins. Norm parameters and statistics go along, on their own scale. Units that none of
    the names list keep their places.
    """
    mine, theirs = (_read(state, names) for state in (a, b))
    return best(mine, theirs, network, starts(mine, theirs, network, rng, restarts), rng)


def _read(state: State, names: Sequence[str]) -> dict[str, Floats]:
    """The named tensors with their biases, as arrays."""
    both = [name for weight in names for name in (weight, f"{weight.removesuffix('weight')}bias")]
    return {name: state[name].double().numpy() for name in both if name in state}
